/** Requests, errors, latency, queue and replicas of one version, on one time axis. */
import { percent } from "../ui/format";
import { Loading } from "../ui/parts";
import { Chart } from "./chart";
import { FigureTable, Ranges } from "./panel";
import { Quality } from "./quality";
import { column, range, spanOf, times, useSeries } from "./series";
import { count, milliseconds, perSecond, stepText, whole } from "./units";

export function VersionCharts({ name, version }: { name: string; version: string }) {
  const chosen = range();
  const { data } = useSeries(name, [version], chosen);
  const series = data?.[0];
  return (
    <section aria-labelledby="over-time">
      <div class="bar">
        <h2 id="over-time">Over time</h2>
        <Ranges chosen={chosen} />
        {series && <span class="muted">{`a point is ${stepText(series.step_seconds)}`}</span>}
      </div>
      {!series && <Loading />}
      {series && <Charts name={name} version={version} series={series} />}
    </section>
  );
}

function Charts({ name, version, series }: { name: string; version: string; series: Parameters<typeof times>[0] }) {
  const x = times(series);
  const shared = { x, span: spanOf(series), group: `${name} ${version}` };
  const of = (figure: Parameters<typeof column>[1]) => column(series, figure);
  const isAsked = of("requests").some((value) => (value ?? 0) > 0);
  const ifAsked = (values: (number | null)[]) => (isAsked ? values : values.map(() => null));
  const none = "No requests in this time";
  return (
    <>
      <div class="charts">
        <Chart {...shared} title="Requests" unit="a second" format={perSecond} empty={none} lines={[{ label: "requests", tone: 0, values: ifAsked(of("requests_per_second")), isFilled: true }]} />
        <Chart
          {...shared}
          title="Latency"
          unit="in the process, quantiles"
          format={milliseconds}
          empty={none}
          lines={[
            { label: "p50", tone: 0, values: of("latency_p50_ms") },
            { label: "p95", tone: 1, values: of("latency_p95_ms") },
            { label: "p99", tone: 3, values: of("latency_p99_ms") },
          ]}
        />
        <Chart {...shared} title="Errors" atLeast={0.05} unit="share of requests" format={percent} empty={none} lines={[{ label: "errors", tone: 5, values: of("error_rate"), isFilled: true }]} />
        <Chart
          {...shared}
          title="Processes and queue"
          unit="the longest queue"
          format={whole}
          empty="No process in this time"
          lines={[
            { label: "replicas", tone: 2, values: of("replicas"), isStepped: true },
            { label: "warm", tone: 3, values: of("warm_processes"), isStepped: true },
            { label: "queued", tone: 1, values: of("queued"), isStepped: true },
          ]}
        />
      </div>
      <FigureTable
        x={x}
        columns={[
          { title: "Requests", values: of("requests"), format: count },
          { title: "Errors", values: of("errors"), format: count },
          { title: "p50", values: of("latency_p50_ms"), format: milliseconds },
          { title: "p95", values: of("latency_p95_ms"), format: milliseconds },
          { title: "p99", values: of("latency_p99_ms"), format: milliseconds },
          { title: "Queued", values: of("queued"), format: count },
          { title: "Replicas", values: of("replicas"), format: count },
          { title: "Warm", values: of("warm_processes"), format: count },
        ]}
      />
      <Quality name={name} versions={[version]} span={shared.span} />
    </>
  );
}
