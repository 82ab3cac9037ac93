/** The cluster: who holds what, who waits for what, and how much each owner may have. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { ClusterView, HolderView, OwnerView, QueueView } from "../../api/types";
import { link } from "../../router";
import { now } from "../../ui/clock";
import { bytes, duration, plural, quantity, resources, shortId, words } from "../../ui/format";
import { Ago, Failure, Loading, PageHead } from "../../ui/parts";
import { Nodes } from "./nodes";

export function ClusterPage() {
  const cluster = usePoll("cluster", (call) => api.GET("/mlops/cluster", call), 2);
  const queue = usePoll("queue", (call) => api.GET("/mlops/queue", call), 2);
  const error = cluster.error ?? queue.error;
  return (
    <>
      <PageHead title="Cluster" beside={cluster.data && <Sum cluster={cluster.data} />} />
      {error && <Failure error={error} what="cluster" />}
      {!error && (!cluster.data || !queue.data) && <Loading />}
      {cluster.data && <Nodes nodes={cluster.data.nodes} reservation={cluster.data.reservation ?? null} />}
      {cluster.data && <Holders holders={cluster.data.holders} />}
      {queue.data && <Queue queue={queue.data} />}
      {queue.data && queue.data.owners.length > 0 && <Owners owners={queue.data.owners} />}
      {cluster.data && cluster.data.replicas.length > 0 && <Replicas replicas={cluster.data.replicas} />}
    </>
  );
}

function Sum({ cluster }: { cluster: ClusterView }) {
  const total = cluster.nodes.reduce((sum, node) => sum + (node.cpus ?? 0), 0);
  const held = cluster.nodes.reduce((sum, node) => sum + (node.held.cpus ?? 0), 0);
  return (
    <span class="muted number">
      {plural(cluster.nodes.length, "node")} · {quantity(held)} of {plural(total, "CPU")} held · {plural(cluster.queued, "job")} waiting
    </span>
  );
}

function Holders({ holders }: { holders: HolderView[] }) {
  return (
    <section aria-labelledby="holders">
      <h2 id="holders">Held by jobs</h2>
      {!holders.length && <p class="muted">Nothing: all of it is free for jobs.</p>}
      {holders.length > 0 && (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th>Job</th>
                <th>Owner</th>
                <th>Phase</th>
                <th>Node</th>
                <th class="right">CPUs</th>
                <th class="right">Memory</th>
                <th class="right">Since</th>
                <th class="right">Ends by</th>
              </tr>
            </thead>
            <tbody>
              {holders.map((holder, index) => (
                <tr key={holder.job_id ?? index}>
                  <td>
                    {holder.job_id ? (
                      <>
                        <a href={link("jobs", holder.job_id)} data-row>
                          {holder.model_name ?? "job"}
                        </a>{" "}
                        <span class="muted nowrap">{shortId(holder.job_id)}</span>
                      </>
                    ) : (
                      <span class="muted">a job of another workspace</span>
                    )}
                  </td>
                  <td>{holder.owner ?? "—"}</td>
                  <td>{words(holder.phase)}</td>
                  <td>{holder.node ?? "—"}</td>
                  <td class="right number">{quantity(holder.cpus)}</td>
                  <td class="right number nowrap">{bytes(holder.memory)}</td>
                  <td class="right number nowrap">
                    <Ago at={holder.since} />
                  </td>
                  <td class="right number nowrap">{holder.ends_by ? `in ${duration(left(holder.ends_by))}` : "—"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

/** Processes of deployments: jobs cannot take what they hold. */
function Replicas({ replicas }: { replicas: ClusterView["replicas"] }) {
  return (
    <section aria-labelledby="replicas">
      <h2 id="replicas">Held by replicas</h2>
      <ul class="replicas">
        {replicas.map((row) => (
          <li key={`${row.model_name} ${row.model_version}`}>
            <a href={link("models", row.model_name, row.model_version)}>
              {row.model_name}
              <span class="version"> v{row.model_version}</span>
            </a>
            <span class="muted number nowrap">
              {row.replicas > 1 && `${plural(row.replicas, "replica")} · `}
              {resources(row.cpus, row.memory, row.gpus)}
            </span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function left(until: string): number {
  return Math.max(0, (Date.parse(until) - now.value) / 1000);
}

function Queue({ queue }: { queue: QueueView }) {
  return (
    <section aria-labelledby="queue">
      <h2 id="queue">Queue {queue.total > 0 && <span class="count">{queue.total}</span>}</h2>
      {!queue.waiting.length && <p class="muted">{queue.total ? `${plural(queue.total, "job")} of other workspaces wait.` : "Empty: a new job starts at once."}</p>}
      {queue.waiting.length > 0 && (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th class="right">Place</th>
                <th>Job</th>
                <th>Owner</th>
                <th class="col-why">Waits for</th>
                <th class="right">Asks for</th>
                <th class="right">Priority</th>
                <th class="right">Waits</th>
              </tr>
            </thead>
            <tbody>
              {queue.waiting.map((job) => (
                <tr key={job.job_id}>
                  <td class="right number">{job.queue_position}</td>
                  <td>
                    <a href={link("jobs", job.job_id)} data-row>
                      {job.model_name ?? job.experiment_name}
                    </a>{" "}
                    <span class="muted nowrap">{shortId(job.job_id)}</span>
                  </td>
                  <td>{job.owner}</td>
                  <td class="col-why">
                    <span class="why">
                      <b>{words(job.reason ?? "")}</b>
                      {job.message && <span class="muted">: {job.message}</span>}
                    </span>
                  </td>
                  <td class="right number nowrap">
                    {resources(job.resources.cpus, job.resources.memory, job.resources.gpus)}
                  </td>
                  <td class="right number">{job.priority}</td>
                  <td class="right number nowrap">
                    {duration(Math.max(0, Math.floor((now.value - Date.parse(job.created_at)) / 1000)))}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {queue.waiting.length > 0 && (
        <p class="muted table-note">Places are by priority, then age. The owner that holds least goes first within a priority, and small jobs may pass.</p>
      )}
    </section>
  );
}

function Owners({ owners }: { owners: OwnerView[] }) {
  return (
    <section aria-labelledby="owners">
      <h2 id="owners">Owners</h2>
      <div class="table-box">
        <table>
          <thead>
            <tr>
              <th>Owner</th>
              <th class="right">Running</th>
              <th class="right">Waiting</th>
              <th class="right">CPUs</th>
              <th class="right">Memory</th>
            </tr>
          </thead>
          <tbody>
            {owners.map(({ owner, held, queued, quota }) => (
              <tr key={owner}>
                <td>
                  <a href={`${link("jobs")}?owner=${encodeURIComponent(owner)}`} data-row>
                    {owner}
                  </a>
                </td>
                <Of value={quantity(held.jobs)} most={quota.max_running_jobs === null ? undefined : quantity(quota.max_running_jobs)} />
                <Of value={quantity(queued)} most={quota.max_queued_jobs === null ? undefined : quantity(quota.max_queued_jobs)} />
                <Of value={quantity(held.cpus)} most={quota.max_cpus === null ? undefined : quantity(quota.max_cpus)} />
                <Of value={bytes(held.memory)} most={quota.max_memory === null ? undefined : bytes(quota.max_memory)} />
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Of({ value, most }: { value: string; most: string | undefined }) {
  return (
    <td class="right number nowrap">
      {value} {most !== undefined && <span class="muted">of {most}</span>}
    </td>
  );
}
