/** Progress and result of a batch in words. */
import type { BatchSummary } from "../../api/types";
import { duration, grouped, plural } from "../../ui/format";

export function rowsOf(batch: Pick<BatchSummary, "progress" | "result" | "finished_at">): string {
  if (batch.result) return plural(batch.result.rows, "row");
  const progress = batch.progress;
  if (!progress) return "—";
  const of = progress.rows_total === null ? "" : ` of ${grouped(progress.rows_total)}`;
  if (batch.finished_at !== null) return `${grouped(progress.rows)}${of} rows`;
  const rate = progress.rows_per_second === null ? "" : `, ${grouped(Math.round(progress.rows_per_second))} rows/s`;
  const left = progress.eta_seconds === null ? "" : `, about ${inSeconds(progress.eta_seconds)} left`;
  return `${grouped(progress.rows)}${of} rows${rate}${left}`;
}

export function rejectedOf(batch: Pick<BatchSummary, "progress" | "result">): number {
  return batch.result?.rejected ?? batch.progress?.rejected ?? 0;
}

/** Part that is done, 0 to 1; undefined while it is not known. */
export function shareOf(batch: Pick<BatchSummary, "progress" | "result">): number | undefined {
  if (batch.result) return 1;
  const total = batch.progress?.rows_total;
  return batch.progress && total ? batch.progress.rows / total : undefined;
}

/** Whole seconds: an estimate has no tenths. */
function inSeconds(seconds: number): string {
  const whole = Math.max(1, Math.round(seconds));
  return whole < 60 ? `${whole} s` : duration(whole);
}
