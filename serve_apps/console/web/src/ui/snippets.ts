/** Commands, Python and curl for an action, as they can be pasted. Every function is pure but for the page's own address and key. */
import { hasKey } from "../access/key";

const DEFAULT = "http://127.0.0.1:8000";

export function origin(): string {
  return globalThis.location?.origin ?? DEFAULT;
}

/** Quote one word for a POSIX shell. */
export function shell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

/** `raylift …` for this platform. */
export function command(...words: string[]): string {
  const where = origin() === DEFAULT ? [] : ["--url", origin()];
  return ["raylift", ...where, ...words].map(shell).join(" ");
}

/** Python that has a `client` of this platform. */
export function python(...lines: string[]): string {
  return [`from raylift import Client`, ``, `with Client(${text(origin())}) as client:`, ...lines.map((line) => `    ${line}`)].join("\n");
}

/** A Python literal of a JSON value. */
export function literal(value: unknown): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return text(value);
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  const items = Object.entries(value as Record<string, unknown>).map(([name, item]) => `${text(name)}: ${literal(item)}`);
  return `{${items.join(", ")}}`;
}

function text(value: string): string {
  return JSON.stringify(value);
}

/** curl with its method, and with the key of the shell's environment where the platform asks for one. */
export function curlWords(method: string): string[] {
  const key = hasKey() ? ["-H", '"Authorization: Bearer $RAYLIFT_API_KEY"'] : [];
  return ["curl", ...(method === "GET" ? [] : ["-X", method]), ...key];
}

/** curl of a request; `body` is sent as JSON. */
export function curl(method: string, path: string, body?: unknown): string {
  const line = [...curlWords(method), shell(origin() + path)].join(" ");
  return body === undefined ? line : `${line} \\\n  -H 'Content-Type: application/json' \\\n  -d ${shell(JSON.stringify(body))}`;
}
