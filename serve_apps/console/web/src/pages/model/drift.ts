/** What the section about drift says, and in which order. */
import type { MonitorView } from "../../api/types";
import { duration, plural } from "../../ui/format";

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
