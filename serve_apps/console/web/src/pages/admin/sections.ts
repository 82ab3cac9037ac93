/** Settings as sections of names and values. Pure. */
import { bytes, duration } from "../../ui/format";

export type Leaf = [string, string];

/** Settings by their first name; those without a section first, as "platform". */
export function sectionsOf(settings: Record<string, unknown>): [string, Leaf[]][] {
  const own: Leaf[] = [];
  const sections: [string, Leaf[]][] = [["platform", own]];
  for (const [name, value] of Object.entries(settings)) {
    if (isTable(value)) sections.push([name, leavesOf(name, value)]);
    else own.push([name, shown(value)]);
  }
  return sections;
}

function leavesOf(path: string, table: Record<string, unknown>): Leaf[] {
  return Object.entries(table).flatMap(([name, value]) => {
    const here = `${path}.${name}`;
    return isTable(value) && Object.keys(value).length ? leavesOf(here, value) : [[here, shown(value)] as Leaf];
  });
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** "" where nothing is set. */
function shown(value: unknown): string {
  if (value === null || (Array.isArray(value) && !value.length) || (isTable(value) && !Object.keys(value).length)) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A large number of bytes or seconds in words; "" where the number says enough. */
export function unitOf(name: string, value: string): string {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < 1000) return "";
  if (/bytes$/.test(name)) return bytes(number);
  return /_seconds$/.test(name) ? duration(number) : "";
}
