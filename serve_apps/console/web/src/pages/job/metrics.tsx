/** Metric curves, metrics and parameters of the job's run, as MLflow has them; they move while the job runs. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { JobView, MetricCurve } from "../../api/types";
import { Chart } from "../../charts/chart";
import { FigureTable } from "../../charts/panel";
import { metric, plural, quantity } from "../../ui/format";
import { Empty, Loading } from "../../ui/parts";

export function MetricsTab({ job }: { job: JobView }) {
  const params = { path: { job_id: job.job_id } };
  const { data, error } = usePoll(`metrics ${job.job_id}`, (call) => api.GET("/mlops/training/jobs/{job_id}/metrics", { ...call, params }), job.finished_at ? 60 : 4);
  const read = data?.metrics ?? [];
  // Of a run that is gone the platform still has the last figures.
  const last: [string, number | null][] = read.length ? read.map((curve) => [curve.name, curve.points.at(-1)?.value ?? null]) : Object.entries(job.metrics);
  const figures = last.sort(([first], [second]) => first.localeCompare(second));
  const given = Object.entries({ ...data?.params, ...job.params });
  if (!data && !error) return <Loading />;
  if (!figures.length && !given.length) {
    return (
      <Empty title="No metrics">
        <p>{job.finished_at ? "The script logged none." : "The script has logged none so far."}</p>
      </Empty>
    );
  }
  const curves = read.filter((curve) => curve.points.length > 1);
  return (
    <>
      {curves.length > 0 && <Curves jobId={job.job_id} curves={curves} leftOut={data?.left_out.length ?? 0} />}
      <div class="columns">
        <Figures title="Metrics" rows={figures.map(([name, value]) => [name, metric(value), String(value)])} />
        <Figures title="Parameters" rows={given.map(([name, value]) => [name, String(value), String(value)])} />
      </div>
    </>
  );
}

function Curves({ jobId, curves, leftOut }: { jobId: string; curves: MetricCurve[]; leftOut: number }) {
  const groups = grouped(curves);
  const x = stepsOf(curves);
  return (
    <section aria-label="Curves">
      <div class={groups.length > 2 ? "charts small" : "charts"}>
        {groups.map(([title, group]) => {
          const steps = stepsOf(group);
          return (
            <Chart key={title} title={title} unit={`over ${plural(steps.length, "step")}`} x={steps} isTime={false} isFree group={`curves ${jobId}`} format={figure} exact={metric} empty="No figures" lines={group.map((curve, tone) => ({ label: curve.name, tone, values: valuesAt(curve, steps) }))} />
          );
        })}
      </div>
      {leftOut > 0 && <p class="muted chart-note">{plural(leftOut, "further metric")} not shown: the API has them by name.</p>}
      <FigureTable x={x} isTime={false} columns={curves.map((curve) => ({ title: curve.name, values: valuesAt(curve, x), format: metric }))} />
    </section>
  );
}

function figure(value: number): string {
  return quantity(Number(value.toPrecision(4)));
}

/** "loss" with "val_loss" and "train_loss": what is compared is in one chart. */
export function grouped(curves: MetricCurve[]): [string, MetricCurve[]][] {
  const groups = new Map<string, MetricCurve[]>();
  for (const curve of curves) {
    const title = curve.name.replace(/^(training|train|validation|valid|val|test|eval)[_/.-]/, "");
    groups.set(title, [...(groups.get(title) ?? []), curve]);
  }
  return [...groups];
}

export function stepsOf(curves: MetricCurve[]): number[] {
  return [...new Set(curves.flatMap((curve) => curve.points.map((point) => point.step)))].sort((first, second) => first - second);
}

/** The last figure of each step; null where the curve has none. */
export function valuesAt(curve: MetricCurve, steps: number[]): (number | null)[] {
  const values = new Map(curve.points.map((point) => [point.step, point.value]));
  return steps.map((step) => values.get(step) ?? null);
}

function Figures({ title, rows }: { title: string; rows: [string, string, string][] }) {
  if (!rows.length) return null;
  return (
    <table class="figures">
      <caption>{title}</caption>
      <tbody>
        {rows.map(([name, shown, exact]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td class="right number" title={exact}>
              {shown}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
