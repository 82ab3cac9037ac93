import { describe, expect, test } from "vitest";
import { rowsOf, shareOf } from "../src/pages/batches/progress";

const PROGRESS = { phase: "scoring", rows: 2_500, rows_total: 10_000, rejected: 0, parts: 1, parts_total: 4, rows_per_second: 500, eta_seconds: 15 } as const;
const ENDED = "2026-11-30T10:00:00Z";
const RESULT = { rows: 1, rows_written: 1, rejected: 0, files: 1, output: null, rejected_output: null };

describe("the rows of a batch", () => {
  test("while it runs", () => {
    expect(rowsOf({ progress: PROGRESS, result: null, finished_at: null })).toBe("2\u202f500 of 10\u202f000 rows, 500 rows/s, about 15 s left");
    expect(shareOf({ progress: PROGRESS, result: null })).toBe(0.25);
  });

  test("of a format that does not say how many there are", () => {
    const unknown = { ...PROGRESS, rows_total: null, rows_per_second: null, eta_seconds: null };
    expect(rowsOf({ progress: unknown, result: null, finished_at: null })).toBe("2\u202f500 rows");
    expect(shareOf({ progress: unknown, result: null })).toBeUndefined();
  });

  test("of one that failed, without a time that is left", () => {
    expect(rowsOf({ progress: PROGRESS, result: null, finished_at: ENDED })).toBe("2\u202f500 of 10\u202f000 rows");
  });

  test("before and after", () => {
    expect(rowsOf({ progress: null, result: null, finished_at: null })).toBe("—");
    expect(rowsOf({ progress: null, result: RESULT, finished_at: ENDED })).toBe("1 row");
  });
});
