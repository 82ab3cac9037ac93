/** The packages, variables and limits that the job ran with. */
import type { JobView } from "../../api/types";
import { bytes, duration, quantity } from "../../ui/format";
import { Copy, Facts } from "../../ui/parts";

export function EnvironmentTab({ job }: { job: JobView }) {
  const lock = job.environment_lock;
  return (
    <div class="columns">
      <section aria-labelledby="requirements">
        <h2 id="requirements">Requirements</h2>
        {job.requirements.length ? <Lines lines={job.requirements} /> : <p class="muted">None: the base environment has all it needs.</p>}
        {job.requirements_source && <p class="muted">From {job.requirements_source}.</p>}
        <div class="bar">
          <h2>Locked packages</h2>
          <span class="spread" />
          {lock && lock.length > 0 && <Copy text={lock.join("\n")} label="the lock" />}
        </div>
        {lock === null && <p class="muted">Not resolved yet.</p>}
        {lock && !lock.length && <p class="muted">Nothing beyond the base environment.</p>}
        {lock && lock.length > 0 && <Lines lines={lock} />}
      </section>
      <section aria-labelledby="request">
        <h2 id="request">Request</h2>
        <Facts
          items={[
            ["CPUs", quantity(job.resources.cpus)],
            ["Memory", bytes(job.resources.memory)],
            ["GPUs", quantity(job.resources.gpus)],
            ["Timeout", duration(job.timeout_seconds)],
            ["Retries", String(job.max_retries)],
            ["Priority", String(job.priority)],
            ["Autolog", job.autolog ? "yes" : "no"],
            ["Deploy", job.deploy ? "yes" : "no"],
            ["Takes traffic", job.take_traffic ? "yes" : "no"],
            ["Isolation", job.isolation],
            ["Network", job.network],
            ...(job.secrets.length ? ([["Secrets", job.secrets.join(", ")]] as [string, string][]) : []),
            ...(job.usage
              ? ([
                  ["Memory held by", job.usage.memory_enforced_by ?? "—"],
                  ["CPU held by", job.usage.cpu_enforced_by ?? "—"],
                ] as [string, string][])
              : []),
          ]}
        />
        <h2>Variables</h2>
        {Object.keys(job.environment).length ? (
          <Lines lines={Object.entries(job.environment).map(([name, value]) => `${name}=${value}`)} />
        ) : (
          <p class="muted">None.</p>
        )}
      </section>
    </div>
  );
}

function Lines({ lines }: { lines: string[] }) {
  return (
    <pre class="lines" tabIndex={0} aria-label="List">
      {lines.join("\n")}
    </pre>
  );
}
