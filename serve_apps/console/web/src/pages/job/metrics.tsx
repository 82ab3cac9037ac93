/** The metrics of the job's run, as MLflow has them. */
import type { JobView } from "../../api/types";
import { metric } from "../../ui/format";
import { Empty } from "../../ui/parts";

export function MetricsTab({ job }: { job: JobView }) {
  const metrics = Object.entries(job.metrics).sort(([first], [second]) => first.localeCompare(second));
  const params = Object.entries(job.params ?? {});
  if (!metrics.length && !params.length) {
    return (
      <Empty title="No metrics">
        <p>{job.finished_at ? "The script logged none." : "They are read when the script has ended."}</p>
      </Empty>
    );
  }
  return (
    <div class="columns">
      {metrics.length > 0 && (
        <table class="figures">
          <caption>Metrics</caption>
          <tbody>
            {metrics.map(([name, value]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td class="right number" title={String(value)}>
                  {metric(value as number | null)}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {params.length > 0 && (
        <table class="figures">
          <caption>Parameters</caption>
          <tbody>
            {params.map(([name, value]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td class="right number">{value}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}
