/** Accuracy or error of versions from true values that were sent. Drawn only where there are some. */
import { api, dataOf } from "../api/client";
import { usePoll } from "../api/poll";
import type { QualityView } from "../api/types";
import { grouped, percent, plural, quantity } from "../ui/format";
import { Chart, type Line } from "./chart";
import { FigureTable } from "./panel";
import { range, sinceOf } from "./series";
import { toneOf } from "./tones";

const POLL_SECONDS = 30;

export function Quality({ name, versions, span }: { name: string; versions: string[]; span: [number, number] }) {
  const chosen = range();
  const { data } = usePoll(
    `quality ${name} ${versions.join(",")} ${chosen}`,
    async (call) => {
      const query = { since: sinceOf(chosen, Date.now()) };
      const read = (version: string) =>
        api.GET("/mlops/models/{name}/versions/{version}/quality", { signal: call.signal, cache: call.cache, params: { path: { name, version }, query } });
      const found = await Promise.all(versions.map((version) => dataOf(read(version))));
      return { data: found, response: new Response(null) };
    },
    POLL_SECONDS,
  );
  const told = data?.filter((view) => view.feedback > 0) ?? [];
  if (!told.length) return null;
  const known = told.filter((view) => view.overall.rows > 0);
  if (!known.length) {
    return (
      <p class="muted chart-note">
        {plural(told.reduce((sum, view) => sum + view.feedback, 0), "true value")} came, and no answer to compare them with: a payload log keeps the answers.
      </p>
    );
  }
  const isNumeric = known.some((view) => view.overall.rmse !== null);
  const format = isNumeric ? (value: number) => quantity(Number(value.toPrecision(4))) : percent;
  const x = timesOf(known);
  const lines = linesOf(known, isNumeric, x);
  const rows = known.reduce((sum, view) => sum + view.overall.rows, 0);
  return (
    <div class="quality">
      <div class="charts">
        <Chart title={isNumeric ? "Error" : "Accuracy"} unit={`${isNumeric ? "RMSE, in the target's unit" : "share of right rows"}; ${grouped(rows)} rows with true values`} x={x} span={span} group={`quality ${name}`} format={format} isFree empty="No true values in this time" lines={lines} />
      </div>
      <FigureTable x={x} columns={lines.map((line) => ({ title: line.label, values: line.values, format }))} />
    </div>
  );
}

export function timesOf(views: QualityView[]): number[] {
  return [...new Set(views.flatMap((view) => view.points.map((point) => Date.parse(point.start) / 1000)))].sort((first, second) => first - second);
}

/** One line for each version; null where no true value came. */
export function linesOf(views: QualityView[], isNumeric: boolean, x: number[]): Line[] {
  return views.map((view) => {
    const values = new Map(view.points.map((point) => [Date.parse(point.start) / 1000, isNumeric ? point.rmse : point.accuracy]));
    return { label: `v${view.model_version}`, tone: toneOf(view.model_version), values: x.map((time) => values.get(time) ?? null), hasPoints: true };
  });
}
