/** The jobs before and after one, in an order in which they run, with what they have made. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { GraphJob, JobView } from "../../api/types";
import { link } from "../../router";
import { shortId } from "../../ui/format";
import { Failure, Loading } from "../../ui/parts";
import { State } from "../../ui/state";

export function Order({ job }: { job: JobView }) {
  if (!job.after?.length && !job.followed_by?.length) return null;
  return <Graph id={job.job_id} />;
}

function Graph({ id }: { id: string }) {
  const { data, error } = usePoll(
    `graph ${id}`,
    (call) => api.GET("/mlops/training/jobs/{job_id}/graph", { ...call, params: { path: { job_id: id } } }),
    5,
  );
  if (error) return <Failure error={error} what="graph" />;
  if (!data) return <Loading />;
  return (
    <section aria-labelledby="order">
      <h2 id="order">Before and after</h2>
      <div class="table-box">
        <table>
          <thead>
            <tr>
              <th>Job</th>
              <th>State</th>
              <th>After</th>
              <th>Made</th>
            </tr>
          </thead>
          <tbody>
            {data.jobs.map((each) => (
              <tr key={each.job_id} aria-current={each.job_id === id ? "true" : undefined}>
                <td>
                  <Named job={each} isThis={each.job_id === id} />
                </td>
                <td>
                  <State state={each.status} />
                </td>
                <td>
                  {data.edges
                    .filter((edge) => edge.after === each.job_id)
                    .map((edge) => shortId(edge.before))
                    .join(", ") || "—"}
                </td>
                <td>
                  <Made job={each} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {data.is_cut && <p class="muted">There are more jobs.</p>}
    </section>
  );
}

function Named({ job, isThis }: { job: GraphJob; isThis: boolean }) {
  const name = (job.kind === "batch" ? `batch of ${job.model_name}` : job.script_name) ?? "deleted";
  return (
    <>
      {isThis || job.kind === null ? <b>{name}</b> : <a href={link("jobs", job.job_id)}>{name}</a>}{" "}
      <code title={job.job_id}>{shortId(job.job_id)}</code>
    </>
  );
}

function Made({ job }: { job: GraphJob }) {
  const { model_name: model, model_version: version, output } = job;
  return (
    <>
      {output && <a href={`${link("datasets", output.name)}?version=${output.version}`}>{`${output.name}@${output.version}`}</a>}
      {output && version && job.kind === "train" && ", "}
      {model && version && job.kind === "train" && <a href={link("models", model, version)}>{`${model} v${version}`}</a>}
      {!output && !(version && job.kind === "train") && "—"}
    </>
  );
}
