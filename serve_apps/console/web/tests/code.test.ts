import { expect, test } from "vitest";
import { curl, literal, shell } from "../src/ui/snippets";
import { linesOf } from "../src/ui/code";

test("Python is split into lines of tokens, strings over lines too", () => {
  const lines = linesOf('x = 1  # note\ns = """a\nb"""\nfor y in s: pass');
  expect(lines.map((line) => line.map((token) => token.text).join(""))).toEqual(['x = 1  # note', 's = """a', 'b"""', "for y in s: pass"]);
  expect(lines[0]?.map((token) => token.kind)).toEqual(["", "digits", "", "comment"]);
  expect(lines[2]).toEqual([{ text: 'b"""', kind: "string" }]);
  expect(lines[3]?.[0]).toEqual({ text: "for", kind: "keyword" });
});

test("Python literals of JSON values", () => {
  expect(literal({ a: [1, true, null], b: "x\n" })).toBe('{"a": [1, True, None], "b": "x\\n"}');
});

test("words for a shell", () => {
  expect(["plain-1.0", "two words", "it's"].map(shell)).toEqual(["plain-1.0", "'two words'", `'it'"'"'s'`]);
  expect(curl("POST", "/mlops/x", { a: 1 })).toContain(`-d '{"a":1}'`);
});
