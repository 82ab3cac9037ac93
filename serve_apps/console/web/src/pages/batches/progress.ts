/** Progress and result of a batch in words. */
import type { BatchSummary } from "../../api/types";
import { duration, grouped, plural } from "../../ui/format";

export function rowsOf(batch: Pick<BatchSummary, "progress" | "result">): string {
  if (batch.result) return plural(batch.result.rows, "row");
  const progress = batch.progress;
  if (!progress) return "—";
  const of = progress.rows_total === null ? "" : ` of ${grouped(progress.rows_total)}`;
  const rate = progress.rows_per_second === null ? "" : `, ${grouped(Math.round(progress.rows_per_second))} rows/s`;
  const left = progress.eta_seconds === null ? "" : `, ${duration(Math.round(progress.eta_seconds))} left`;
  return `${grouped(progress.rows)}${of} rows${rate}${left}`;
}

/** Part that is done, 0 to 1; undefined while it is not known. */
export function shareOf(batch: Pick<BatchSummary, "progress" | "result">): number | undefined {
  if (batch.result) return 1;
  const total = batch.progress?.rows_total;
  return batch.progress && total ? batch.progress.rows / total : undefined;
}
