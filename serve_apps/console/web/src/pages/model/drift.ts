/** What the section about drift says, and in which order. */
import type { MonitorView } from "../../api/types";
import { duration, percent, plural } from "../../ui/format";

type Figures = MonitorView["windows"][number]["figures"];

const SHOWN = 12;

export function sentenceOf(monitor: MonitorView): string {
  switch (monitor.status) {
    case "off":
      return "Switched off.";
    case "waiting":
      return "Watched as soon as a process of the version runs.";
    case "no_reference":
      return "Not watched: its training recorded no reference profile.";
    case "watching":
      return `Compared with its training every ${duration(monitor.settings.window_seconds)}, once ${plural(monitor.settings.minimum_rows, "row")} came.`;
  }
}

/** The columns to show: those beyond a limit first. */
export function columnsOf(figures: Figures): Figures {
  const beyond = (one: Figures[number]) => Number(one.breaches.length > 0);
  return [...figures].sort((first, second) => beyond(second) - beyond(first)).slice(0, SHOWN);
}

export interface ScoreRow {
  start: string;
  segment: string | null;
  rows: number;
  known: number;
  measure: "accuracy" | "RMSE";
  value: string;
  interval: string;
  auc: string;
  logLoss: string;
  calibration: string;
  isBeyond: boolean;
}

/** A row for each window and segment with a quality, newest first. */
export function scoresOf(windows: MonitorView["quality"]): ScoreRow[] {
  return windows.flatMap((window) =>
    window.scores.map(({ segment, quality, breaches }) => {
      const isClass = quality.accuracy !== null;
      const [value, low, high] = isClass ? [quality.accuracy, quality.accuracy_low, quality.accuracy_high] : [quality.rmse, quality.rmse_low, quality.rmse_high];
      return {
        start: window.start,
        segment,
        rows: window.rows,
        known: quality.rows,
        measure: isClass ? "accuracy" : "RMSE",
        value: figure(value),
        interval: `${figure(low)} to ${figure(high)}`,
        auc: figure(quality.auc),
        logLoss: figure(quality.log_loss),
        calibration: figure(quality.calibration_error),
        isBeyond: breaches.length > 0,
      };
    }),
  );
}

function figure(value: number | null | undefined): string {
  return value == null ? "—" : value.toPrecision(3);
}

const SHARES = ["missing", "unseen", "range"];

/** A figure of a check: shares of the rows in per cent, rows of a window whole, an index or a score by itself. */
export function figureOf(check: string, value: number | null | undefined): string {
  if (value === null || value === undefined) return "—";
  if (SHARES.includes(check)) return percent(value);
  return check === "volume" ? plural(value, "row") : check === "drift" ? value.toFixed(3) : figure(value);
}

/** Class of a figure beyond its limit. */
export function markOf(figures: Figures[number], check: Figures[number]["breaches"][number]): string {
  return figures.breaches.includes(check) ? "beyond" : "";
}
