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

/** A figure of a check with its unit: drift is an index, the others are shares of the rows. */
export function figureOf(check: string, value: number | null | undefined): string {
  if (value === null || value === undefined) return "—";
  return check === "drift" ? value.toFixed(3) : percent(value);
}

/** Class of a figure beyond its limit. */
export function markOf(figures: Figures[number], check: Figures[number]["breaches"][number]): string {
  return figures.breaches.includes(check) ? "beyond" : "";
}
