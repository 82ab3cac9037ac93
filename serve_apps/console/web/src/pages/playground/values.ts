/** What is typed into the form, as values of the signature's types. Pure. */
import type { SignatureView } from "../../api/types";

export type Column = SignatureView["inputs"][number];

const WHOLE = new Set(["integer", "long"]);
const NUMBERS = new Set(["integer", "long", "float", "double"]);

export function isNumber(type: string): boolean {
  return NUMBERS.has(type);
}

/** A field's text as a value. Throws a sentence for the field where it is none of the type. */
export function valueOf(text: string, column: Column): unknown {
  const typed = text.trim();
  if (typed === "") {
    if (!column.required) return null;
    throw new Error(column.type === "string" ? "is needed" : `is needed: a ${column.type}`);
  }
  if (WHOLE.has(column.type)) {
    if (!/^[+-]?\d+$/.test(typed)) throw new Error("must be a whole number");
    return Number(typed);
  }
  if (NUMBERS.has(column.type)) {
    const value = Number(typed);
    if (!Number.isFinite(value)) throw new Error("must be a number");
    return value;
  }
  if (column.type === "boolean") {
    if (typed !== "true" && typed !== "false") throw new Error("must be true or false");
    return typed === "true";
  }
  if (column.type === "string" || column.type === "datetime" || column.type === "binary") return text;
  try {
    return JSON.parse(typed) as unknown;
  } catch {
    throw new Error("must be JSON");
  }
}

export interface Row {
  values: Record<string, unknown>;
  errors: Record<string, string>;
}

export function rowOf(texts: Record<string, string>, columns: Column[]): Row {
  const row: Row = { values: {}, errors: {} };
  for (const column of columns) {
    try {
      row.values[column.name] = valueOf(texts[column.name] ?? "", column);
    } catch (error) {
      row.errors[column.name] = (error as Error).message;
    }
  }
  return row;
}

/** Texts of the first row of the model's input example; else 0 for numbers. */
export function textsOf(signature: SignatureView): Record<string, string> {
  const first = firstRow(signature.example);
  return Object.fromEntries(
    signature.inputs.map((column) => {
      const value = first?.[column.name];
      if (value !== undefined && value !== null) return [column.name, typeof value === "object" ? JSON.stringify(value) : String(value)];
      return [column.name, isNumber(column.type) ? "0" : column.type === "boolean" ? "false" : ""];
    }),
  );
}

/** The first row of MLflow's example: `{columns, data}`, records, or columns. */
function firstRow(example: unknown): Record<string, unknown> | undefined {
  if (Array.isArray(example)) return isRecord(example[0]) ? example[0] : undefined;
  if (!isRecord(example)) return undefined;
  if (Array.isArray(example.columns) && Array.isArray(example.data)) {
    const data: unknown = example.data[0];
    return Array.isArray(data) ? Object.fromEntries(example.columns.map((name, index) => [String(name), data[index] as unknown])) : undefined;
  }
  return Object.fromEntries(Object.entries(example).map(([name, values]) => [name, Array.isArray(values) ? (values[0] as unknown) : values]));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A CSV with a header as records, every value by its column's type. Throws a sentence. */
export function recordsOf(csv: string, columns: Column[]): Record<string, unknown>[] {
  const [head, ...rows] = linesOfCsv(csv);
  if (!head || !rows.length) throw new Error("A header and one row at least are needed.");
  const types = new Map(columns.map((column) => [column.name, column]));
  return rows.map((row, index) => {
    if (row.length !== head.length) throw new Error(`Row ${index + 1} has ${row.length} values; the header has ${head.length}.`);
    return Object.fromEntries(
      head.map((name, place) => {
        const column = types.get(name) ?? { name, type: "string", required: false };
        try {
          return [name, valueOf(row[place] ?? "", column)];
        } catch (error) {
          throw new Error(`Row ${index + 1}, ${name}: ${(error as Error).message}.`);
        }
      }),
    );
  });
}

/** Fields of a CSV; quotes as in RFC 4180. */
export function linesOfCsv(text: string): string[][] {
  const lines: string[][] = [];
  let line: string[] = [];
  for (const found of text.matchAll(/("(?:[^"]|"")*"|[^,\n]*)(,|\r?\n|$)/g)) {
    const field = found[1] ?? "";
    if (found.index === text.length && !line.length && !field) break;
    line.push(field.startsWith('"') ? field.slice(1, -1).replaceAll('""', '"') : field.replace(/\r$/, ""));
    if (found[2] !== ",") {
      if (line.some((item) => item !== "")) lines.push(line);
      line = [];
      if (found[2] === "") break;
    }
  }
  return lines;
}

/** "The model wants 20 features, got 1." → 20 */
export function featuresWanted(message: string): number | undefined {
  const found = /wants (\d+) features?\b/.exec(message);
  return found ? Number(found[1]) : undefined;
}
