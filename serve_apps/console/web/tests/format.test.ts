import { describe, expect, test } from "vitest";
import { ago, bytes, duration, grouped, metric, percent, plural, quantity, shortId } from "../src/ui/format";

describe("figures have their units", () => {
  test.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KiB"],
    [2 * 2 ** 30, "2 GiB"],
    [150 * 2 ** 20, "150 MiB"],
    [null, "—"],
  ])("%s bytes", (count, text) => expect(bytes(count)).toBe(text));

  test.each([
    [0, "0 s"],
    [0.42, "420 ms"],
    [12.34, "12.3 s"],
    [59.99, "1 min"],
    [125, "2 min 05 s"],
    [7500, "2 h 05 min"],
    [90_000, "1 d 1 h"],
    [86_400, "1 d"],
  ])("%s seconds", (seconds, text) => expect(duration(seconds)).toBe(text));

  test.each([
    [0.1234567, "0.1235"],
    [0.5, "0.5000"],
    [3, "3"],
    [12_345, "12\u202f345"],
    [0.0000123, "1.230e-5"],
    [null, "NaN"],
  ])("metric %s", (value, text) => expect(metric(value)).toBe(text));

  test("quantities have no needless zeros", () => {
    expect([0.5, 2, 33.3].map(quantity)).toEqual(["0.5", "2", "33.3"]);
    expect(percent(1 / 3)).toBe("33.3 %");
    expect(plural(1, "line")).toBe("1 line");
    expect(plural(2000, "line")).toBe("2\u202f000 lines");
    expect(grouped(1_234_567)).toBe("1\u202f234\u202f567");
  });

  test("ages are whole units", () => {
    const now = Date.parse("2026-11-30T12:00:00Z");
    const at = (seconds: number) => ago(new Date(now - seconds * 1000).toISOString(), now);
    expect([0, 12, 200, 7300, 400_000].map(at)).toEqual(["just now", "12 s ago", "3 min ago", "2 h ago", "4 d ago"]);
  });

  test("ids are told apart by their end", () => expect(shortId("job_01M8NF8Z22FZ3B3WNQ33QHWCET")).toBe("…33QHWCET"));
});
