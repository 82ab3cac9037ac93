/** Versions of a model on one time axis. */
import type { ModelView } from "../api/types";
import { query, withQuery } from "../router";
import { percent } from "../ui/format";
import { Loading } from "../ui/parts";
import { Chart, Swatch } from "./chart";
import { Quality } from "./quality";
import { FigureTable, Ranges, type TableColumn } from "./panel";
import { compared, hasRequests, range, spanOf, times, useSeries } from "./series";
import { toneOf } from "./tones";
import { count, milliseconds, perSecond, stepText } from "./units";

const MOST = 6;
const NONE = "No requests in this time";

/** Versions in the address; without them the newest that are deployed. */
function chosenVersions(all: string[]): string[] {
  const named = (query.value.get("versions") ?? "").split(",").filter((version) => all.includes(version));
  return named.length ? named : all.slice(0, 4);
}

export function CompareVersions({ model }: { model: ModelView }) {
  const all = model.versions.filter((version) => version.deployment).map((version) => version.model_version);
  if (!all.length) return null;
  const chosen = chosenVersions(all);
  return (
    <section aria-labelledby="compared">
      <div class="bar">
        <h2 id="compared">Versions compared</h2>
        <Ranges chosen={range()} />
        {all.length > 1 && <Choice all={all} chosen={chosen} />}
      </div>
      <Compared name={model.model_name} versions={[...chosen].sort((first, second) => Number(first) - Number(second))} />
    </section>
  );
}

function Choice({ all, chosen }: { all: string[]; chosen: string[] }) {
  const toggled = (version: string) => (chosen.includes(version) ? chosen.filter((item) => item !== version) : [...chosen, version].slice(-MOST));
  return (
    <ul class="chips" aria-label="Versions">
      {all.slice(0, 12).map((version) => {
        const isOn = chosen.includes(version);
        return (
          <li key={version}>
            <a class={isOn ? "chip on" : "chip"} aria-current={isOn ? "true" : undefined} href={withQuery({ versions: toggled(version).join(",") || null })}>
              <Swatch tone={toneOf(version)} />v{version}
            </a>
          </li>
        );
      })}
    </ul>
  );
}

function Compared({ name, versions }: { name: string; versions: string[] }) {
  const { data } = useSeries(name, versions, range());
  const first = data?.[0];
  if (!data || !first) return <Loading />;
  const x = times(first);
  const shared = { x, span: spanOf(first), group: `compare ${name}`, empty: NONE };
  // A version without requests has no line at zero: it would hide the others.
  const asked = new Set(data.filter(hasRequests).map((series) => `v${series.model_version}`));
  const of = (figure: Parameters<typeof compared>[1]) =>
    compared(data, figure, x).map((line) => (asked.has(line.label) ? line : { ...line, values: line.values.map(() => null) }));
  const columns = (title: string, figure: Parameters<typeof compared>[1], format: TableColumn["format"]): TableColumn[] =>
    compared(data, figure, x).map((line) => ({ title: `${line.label} ${title}`, values: line.values, format }));
  return (
    <>
      <div class="charts">
        <Chart {...shared} title="Requests" unit="a second" format={perSecond} lines={of("requests_per_second")} />
        <Chart {...shared} title="Latency" unit="p95, in the process" format={milliseconds} lines={of("latency_p95_ms")} />
        <Chart {...shared} title="Errors" atLeast={0.05} unit="share of requests" format={percent} lines={of("error_rate")} />
        <Chart {...shared} title="Latency" unit="p99, in the process" format={milliseconds} lines={of("latency_p99_ms")} />
      </div>
      <p class="muted chart-note">A point is {stepText(first.step_seconds)}. Requests by the model's name and by version count alike; copies count, too.</p>
      <FigureTable x={x} columns={[...columns("requests", "requests", count), ...columns("errors", "error_rate", percent), ...columns("p95", "latency_p95_ms", milliseconds), ...columns("p99", "latency_p99_ms", milliseconds)]} />
      <Quality name={name} versions={versions} span={shared.span} />
    </>
  );
}
