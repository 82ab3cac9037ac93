import { expect, test } from "vitest";
import type { MonitorView } from "../src/api/types";
import { columnsOf, figureOf, markOf, scoresOf, sentenceOf } from "../src/pages/model/drift";

const monitor = (status: MonitorView["status"]) => ({ status, settings: { window_seconds: 3600, minimum_rows: 200 } }) as MonitorView;

test.each([
  ["watching", "Compared with its training every 1 h, once 200 rows came."],
  ["waiting", "Watched as soon as a process of the version runs."],
  ["no_reference", "Not watched: its training recorded no reference profile."],
  ["off", "Switched off."],
] as const)("a monitor that is %s says so", (status, text) => expect(sentenceOf(monitor(status))).toBe(text));

test("columns beyond a limit come first, and the others keep their order", () => {
  const figures = ["a", "b", "c", "d"].map((feature) => ({ feature, breaches: feature === "c" ? ["drift"] : [] }));
  const shown = columnsOf(figures as unknown as MonitorView["windows"][number]["figures"]);
  expect(shown.map((one) => one.feature)).toEqual(["c", "a", "b", "d"]);
});

test("a window has a row for each segment, and says which measure it has", () => {
  const classes = { rows: 120, accuracy: 0.7, accuracy_low: 0.6, accuracy_high: 0.8, rmse: null, auc: 0.75 };
  const numbers = { rows: 40, accuracy: null, rmse: 12.5, rmse_low: 11, rmse_high: 14 };
  const scores = [
    { segment: null, quality: classes, breaches: ["accuracy"] },
    { segment: "plan=pro", quality: numbers, breaches: [] },
  ];
  const windows = [{ start: "2026-03-01T12:00:00Z", rows: 900, scores }] as unknown as MonitorView["quality"];
  const shown = scoresOf(windows);
  expect(shown.map((row) => [row.measure, row.value, row.interval, row.auc, row.isBeyond])).toEqual([
    ["accuracy", "0.700", "0.600 to 0.800", "0.750", true],
    ["RMSE", "12.5", "11.0 to 14.0", "—", false],
  ]);
});

test("figures of checks have their unit, and those beyond a limit are marked", () => {
  expect([figureOf("drift", 0.41237), figureOf("drift", null), figureOf("unseen", 0.0734)]).toEqual(["0.412", "—", "7.3 %"]);
  expect([figureOf("volume", 12), figureOf("accuracy", 0.8125)]).toEqual(["12 rows", "0.813"]);
  const figures = { breaches: ["drift"] } as unknown as MonitorView["windows"][number]["figures"][number];
  expect([markOf(figures, "drift"), markOf(figures, "missing")]).toEqual(["beyond", ""]);
});
