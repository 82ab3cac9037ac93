import { describe, expect, test } from "vitest";
import { piecesOf, plainText } from "../src/log/ansi";
import { LogLines } from "../src/log/lines";

function linesOf(...texts: string[]): string[] {
  const log = new LogLines();
  for (const text of texts) log.append(text);
  return Array.from({ length: log.count }, (_, index) => log.at(index));
}

describe("lines of a log", () => {
  test("text in any pieces gives the same lines", () => {
    expect(linesOf("one\ntwo\nth", "ree\n")).toEqual(["one", "two", "three"]);
    expect(linesOf("one\n", "\n", "open")).toEqual(["one", "", "open"]);
  });

  test("a progress bar stays one line", () => {
    expect(linesOf("10%\r20%", "\r30%", "\ndone\n")).toEqual(["30%", "done"]);
    expect(linesOf("\r10%\r", "20%\r\n")).toEqual(["20%"]);
  });

  test("a Windows line end is a line end", () => expect(linesOf("one\r", "\ntwo\r\n")).toEqual(["one", "two"]));

  test("only the newest lines are kept", () => {
    const log = new LogLines(2);
    log.append("1\n2\n3\n");
    expect([log.count, log.at(0), log.at(1)]).toEqual([2, "2", "3"]);
  });

  test("text is found in any case, without its colours", () => {
    const log = new LogLines();
    log.append("a \u001b[31mWarn\u001b[0ming\nnothing\nwarning\n");
    expect(log.find("warning", plainText)).toEqual([0, 2]);
    expect(log.find("", plainText)).toEqual([]);
  });
});

describe("colours of a line", () => {
  test("names of looks, never markup", () => {
    expect(piecesOf("a \u001b[1;31mred\u001b[0m <b>")).toEqual([
      { text: "a ", look: "" },
      { text: "red", look: "ansi-bold ansi-red" },
      { text: " <b>", look: "" },
    ]);
  });

  test("256 colours and true colours take their parameters along", () => {
    expect(piecesOf("\u001b[38;5;2mgreen\u001b[38;2;1;2;3mtrue\u001b[1mbold")).toEqual([
      { text: "green", look: "ansi-green" },
      { text: "true", look: "" },
      { text: "bold", look: "ansi-bold" },
    ]);
  });

  test("other sequences vanish", () => {
    expect(plainText("\u001b]0;title\u0007a\u001b[2Kb\u001b[?25lc")).toBe("abc");
    expect(piecesOf("\u001b[2K")).toEqual([]);
  });
});
