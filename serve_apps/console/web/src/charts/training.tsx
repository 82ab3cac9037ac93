/** Metrics of the runs that made a model's versions, from version to version. */
import type { ModelView, VersionView } from "../api/types";
import { metric, quantity } from "../ui/format";
import { Chart } from "./chart";
import { FigureTable } from "./panel";

const MOST = 4;

export function TrainingMetrics({ model }: { model: ModelView }) {
  const versions = model.versions.filter((version) => Number.isInteger(Number(version.model_version))).reverse();
  const names = metricNames(versions).slice(0, MOST);
  if (versions.length < 2 || !names.length) return null;
  const x = versions.map((version) => Number(version.model_version));
  const values = (name: string) => versions.map((version) => (version.metrics[name] as number | null | undefined) ?? null);
  return (
    <section aria-labelledby="training">
      <h2 id="training">Training, from version to version</h2>
      <div class="charts small">
        {names.map((name, tone) => (
          <Chart key={name} title={name} unit="of the run" x={x} isTime={false} xName="v" group={`training ${model.model_name}`} format={(value) => quantity(Number(value.toPrecision(4)))} exact={metric} empty="No figures" isFree height={104} lines={[{ label: name, tone, values: values(name), hasPoints: true }]} />
        ))}
      </div>
      <FigureTable x={x} isTime={false} xTitle="Version" columns={names.map((name) => ({ title: name, values: values(name), format: metric }))} />
    </section>
  );
}

/** Names of metrics, those of most versions first. */
export function metricNames(versions: VersionView[]): string[] {
  const counts = new Map<string, number>();
  for (const version of versions) for (const name of Object.keys(version.metrics)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort(([first, few], [second, many]) => many - few || first.localeCompare(second)).map(([name]) => name);
}
