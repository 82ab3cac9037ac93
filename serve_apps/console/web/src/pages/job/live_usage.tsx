/** CPU and memory of a running script, with the last two minutes as a line. */
import { useRef } from "preact/hooks";
import type { JobView, LiveUsage } from "../../api/types";
import { bytes, plural, quantity } from "../../ui/format";

const MOST = 60;

export function LiveUsageBar({ job }: { job: JobView }) {
  const seen = useRef<LiveUsage[]>([]);
  const live = job.live_usage;
  if (live && seen.current.at(-1)?.at !== live.at) seen.current = [...seen.current, live].slice(-MOST);
  if (!live) return null;
  const limit = job.resources;
  return (
    <dl class="live-usage" aria-label="In use now">
      <div>
        <dt>CPUs in use</dt>
        <dd>
          {quantity(live.cpus)} of {quantity(limit.cpus)}
        </dd>
        <Spark values={seen.current.map((item) => item.cpus ?? 0)} limit={limit.cpus ?? 1} />
      </div>
      <div>
        <dt>Memory in use</dt>
        <dd>
          {bytes(live.memory_bytes)} of {bytes(limit.memory)}
        </dd>
        <Spark values={seen.current.map((item) => item.memory_bytes)} limit={limit.memory} />
      </div>
      <div>
        <dt>Processes</dt>
        <dd>{plural(live.processes, "process", "processes")}</dd>
      </div>
    </dl>
  );
}

/** A line whose top is the limit, or the largest value. */
function Spark({ values, limit }: { values: number[]; limit: number }) {
  const top = Math.max(limit, ...values);
  const y = (value: number) => 29 - (28 * value) / top;
  const line = values.map((value, index) => `${index ? "L" : "M"}${120 - 2 * (values.length - 1 - index)} ${y(value)}`).join("");
  return (
    <svg class="spark" viewBox="0 0 120 30" preserveAspectRatio="none" aria-hidden="true">
      <line x1="0" x2="120" y1={y(limit)} y2={y(limit)} />
      <path d={line} />
    </svg>
  );
}
