import { describe, expect, test } from "vitest";
import { stateOf } from "../src/pages/schedules/outcome";
import { until, wallClock } from "../src/ui/format";

const NOW = Date.parse("2026-03-29T00:00:00Z");

describe("moments of a schedule", () => {
  test("are shown in the schedule's own time", () => {
    expect(wallClock("2026-03-29T03:00:00+02:00")).toBe("2026-03-29 03:00");
  });

  test.each([
    ["2026-03-28T23:59:00Z", "now"],
    ["2026-03-29T00:00:12Z", "in 12 s"],
    ["2026-03-29T03:00:00+02:00", "in 1 h"],
    ["2026-04-03T00:30:00Z", "in 5 d"],
  ])("%s", (iso, text) => expect(until(iso, NOW)).toBe(text));
});

describe("what became of a moment", () => {
  test.each([
    [{ outcome: "submitted", job_status: "running" }, "running", undefined],
    [{ outcome: "submitted", job_status: null }, "stopped", "job deleted"],
    [{ outcome: "waiting", job_status: null }, "queued", "waiting"],
    [{ outcome: "skipped", job_status: null }, "cancelled", "skipped"],
    [{ outcome: "refused", job_status: null }, "failed", "refused"],
  ] as const)("%o", (run, state, word) => expect(stateOf(run)).toEqual({ state, word }));
});
