/** What became of a moment of a schedule: the state of its job, or why there is none. */
import type { ScheduleRun } from "../../api/types";
import { State } from "../../ui/state";

const LOOKS: Record<Exclude<ScheduleRun["outcome"], "submitted">, string> = {
  waiting: "queued",
  skipped: "cancelled",
  missed: "failed",
  refused: "failed",
};

/** The state whose look a moment has, and its word. */
export function stateOf(run: Pick<ScheduleRun, "outcome" | "job_status">): { state: string; word: string | undefined } {
  if (run.outcome !== "submitted") return { state: LOOKS[run.outcome], word: run.outcome };
  return run.job_status ? { state: run.job_status, word: undefined } : { state: "stopped", word: "job deleted" };
}

export function Outcome({ run }: { run: ScheduleRun | null }) {
  if (!run) return <span class="muted">—</span>;
  return <State {...stateOf(run)} />;
}
