/** One version: where it comes from, how good it is, and whether it answers. */
import type { JSX } from "preact";
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { DeploymentView, VersionView } from "../../api/types";
import { VersionCharts } from "../../charts/version_charts";
import { link } from "../../router";
import { bytes, metric, quantity, shortId } from "../../ui/format";
import { Later } from "../../ui/later";
import { RunLink } from "../../ui/run_link";
import { Ago, Copy, Facts, Failure, Loading, PageHead } from "../../ui/parts";
import { Reports } from "../../ui/reports";
import { State } from "../../ui/state";
import { DeploymentActions } from "./deployment_actions";

export function VersionPage({ name, version }: { name: string; version: string }) {
  const params = { path: { name, version } };
  const { data, error, refresh } = usePoll(`version ${name} ${version}`, (call) =>
    api.GET("/mlops/models/{name}/versions/{version}", { ...call, params }),
  );
  if (error) return <Failure error={error} what="version" />;
  if (!data) return <Loading />;
  return (
    <>
      <PageHead
        above={
          <>
            <a href={link("models")}>Models</a> / <a href={link("models", name)}>{name}</a>
          </>
        }
        title={`${name} v${version}`}
        beside={
          <>
            {data.deployment ? <State state={data.deployment.status} /> : <span class="muted">not deployed</span>}
            {data.aliases.map((alias) => (
              <span key={alias} class="tag">
                {alias}
              </span>
            ))}
          </>
        }
        actions={<DeploymentActions version={data} onDone={refresh} />}
      />
      {data.deployment ? <Deployment deployment={data.deployment} /> : <NotDeployed />}
      {data.deployment && <VersionCharts name={name} version={version} />}
      {data.deployment && <Drift name={name} version={version} />}
      <div class="columns">
        <Metrics version={data} />
        <Lineage version={data} />
      </div>
      <Reports key={`${name} ${version}`} read={() => api.GET("/mlops/models/{name}/versions/{version}/reports", { params })} />
    </>
  );
}

function Drift({ name, version }: { name: string; version: string }) {
  const what = `drift of ${name} ${version}`;
  return <Later key={what} name={what} load={() => import("./monitor").then((file) => () => <file.Monitor name={name} version={version} />)} />;
}

function NotDeployed() {
  return (
    <section aria-labelledby="deployment">
      <h2 id="deployment">Deployment</h2>
      <p class="muted">None: requests for this version are not answered. Deploy it, and they are.</p>
    </section>
  );
}

function Deployment({ deployment }: { deployment: DeploymentView }) {
  return (
    <section aria-labelledby="deployment">
      <h2 id="deployment">Deployment</h2>
      {deployment.message && <p class={`reason reason-${deployment.status === "unhealthy" ? "failed" : "queued"}`}>{deployment.message}</p>}
      <Facts
        items={[
          ["Replicas", `${deployment.replicas} of ${deployment.min_replicas} to ${deployment.max_replicas}`],
          ["Ready", <Ago at={deployment.ready_at} />],
          ["CPUs a replica", quantity(deployment.cpus)],
          ["Memory a replica", deployment.memory === null ? "not limited" : bytes(deployment.memory)],
          ...(deployment.gpus ? ([["GPUs a replica", quantity(deployment.gpus)]] as [string, string][]) : []),
          ["Requests a replica", `${deployment.max_ongoing_requests} at once, ${deployment.max_queued_requests} waiting`],
          ["Batching", deployment.batching ? `${deployment.batching.max_rows} rows, ${deployment.batching.wait_ms} ms` : "off"],
          ["Route", <RouteText route={deployment.route} />],
        ]}
      />
    </section>
  );
}

function RouteText({ route }: { route: string }) {
  return (
    <span class="identifier">
      <code>{route}</code> <Copy text={location.origin + route} label="the address" />
    </span>
  );
}

function Metrics({ version }: { version: VersionView }) {
  const metrics = Object.entries(version.metrics).sort(([first], [second]) => first.localeCompare(second));
  return (
    <section aria-labelledby="metrics">
      <h2 id="metrics">Metrics</h2>
      {!metrics.length && <p class="muted">Its run has none.</p>}
      <table class="figures">
        <tbody>
          {metrics.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td class="right number">{metric(value as number | null)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Lineage({ version }: { version: VersionView }) {
  const { lineage } = version;
  return (
    <section aria-labelledby="lineage">
      <h2 id="lineage">Where it comes from</h2>
      <Facts
        items={[
          ["Registered", <Ago at={version.created_at} />],
          ["Job", lineage.job_id ? <a href={link("jobs", lineage.job_id)}>{shortId(lineage.job_id)}</a> : "—"],
          [
            "Script",
            lineage.job_id && lineage.script_sha256 ? (
              <a href={`${link("jobs", lineage.job_id)}?tab=script`}>
                <code>{lineage.script_sha256.slice(0, 12)}</code>
              </a>
            ) : (
              "—"
            ),
          ],
          [
            "Packages",
            lineage.job_id && lineage.environment_lock ? (
              <a href={`${link("jobs", lineage.job_id)}?tab=environment`}>{lineage.environment_lock.length ? `${lineage.environment_lock.length} locked` : "the base environment"}</a>
            ) : (
              "—"
            ),
          ],
          ...Object.entries(lineage.data ?? {}).map(([alias, reference]): [string, JSX.Element] => {
            const [name = "", number = ""] = reference.split("@");
            return [`Data: ${alias}`, <a href={`${link("datasets", name)}?version=${number}`}>{reference}</a>];
          }),
          ["MLflow run", lineage.mlflow_run_id ? <RunLink id={lineage.mlflow_run_id} /> : "—"],
          ["Schema from", version.schema_origin?.source ?? "—"],
        ]}
      />
    </section>
  );
}
