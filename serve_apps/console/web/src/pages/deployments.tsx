/** All deployments: what is cold, slow to come, or broken. */
import { api } from "../api/client";
import { usePoll } from "../api/poll";
import type { DeploymentView } from "../api/types";
import { VersionCharts } from "../charts/version_charts";
import { link, query, withQuery } from "../router";
import { resources } from "../ui/format";
import { Ago, Empty, Failure, Loading, PageHead } from "../ui/parts";
import { State } from "../ui/state";
import { DeploymentActions } from "./model/deployment_actions";

export function DeploymentsPage() {
  const { data, error, refresh } = usePoll("deployments", (call) => api.GET("/mlops/deployments", call), 2);
  const isAll = query.value.get("stopped") === "true";
  const shown = data?.deployments.filter((item) => isAll || item.status !== "stopped") ?? [];
  const hidden = (data?.deployments.length ?? 0) - shown.length;
  const selected = shown.find((item) => keyOf(item) === query.value.get("charts"));
  return (
    <>
      <PageHead
        title="Deployments"
        actions={
          (hidden > 0 || isAll) && (
            <a href={withQuery({ stopped: isAll ? null : "true" })}>{isAll ? "Hide stopped ones" : `Show ${hidden} stopped`}</a>
          )
        }
      />
      {error && <Failure error={error} what="list of deployments" />}
      {!data && !error && <Loading />}
      {data && shown.length === 0 && (
        <Empty title="No deployments">
          <p>A version that a job registers is deployed by itself. Others are deployed on their page.</p>
          <a class="button" href={link("models")}>
            Models
          </a>
        </Empty>
      )}
      {shown.length > 0 && <Deployments items={shown} selected={selected} />}
      {selected && <Selected key={keyOf(selected)} deployment={selected} onDone={refresh} />}
    </>
  );
}

/** Where the platform has no message of its own. */
const IDLE: Partial<Record<DeploymentView["status"], string>> = {
  scaled_to_zero: "Idle. The next request starts it.",
  stopped: "Taken down. Deploy it on its page.",
};

function keyOf(item: DeploymentView): string {
  return `${item.model_name}/${item.model_version}`;
}

/** Charts and actions of the chosen deployment, below the table. */
function Selected({ deployment, onDone }: { deployment: DeploymentView; onDone: () => void }) {
  const { model_name: name, model_version: version } = deployment;
  return (
    <section aria-labelledby="selected">
      <div class="bar">
        <h2 id="selected">
          {name} v{version}
        </h2>
        <State state={deployment.status} />
        <span class="spread" />
        <DeploymentActions version={{ model_name: name, model_version: version, deployment }} onDone={onDone} />
      </div>
      <VersionCharts name={name} version={version} />
    </section>
  );
}

function Deployments({ items, selected }: { items: DeploymentView[]; selected: DeploymentView | undefined }) {
  return (
    <div class="table-box">
      <table>
        <thead>
          <tr>
            <th class="col-state">State</th>
            <th>Version</th>
            <th class="col-why">Why</th>
            <th class="right">Replicas</th>
            <th class="right">Each</th>
            <th class="right">Changed</th>
            <th class="right">Over time</th>
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <tr key={`${item.model_name} ${item.model_version}`}>
              <td class="col-state">
                <State state={item.status} />
              </td>
              <td>
                <a href={link("models", item.model_name, item.model_version)} data-row>
                  {item.model_name}
                  <span class="version"> v{item.model_version}</span>
                </a>
              </td>
              <td class="col-why muted">
                <span class="why">{item.message ?? IDLE[item.status]}</span>
              </td>
              <td class="right number nowrap">
                {item.replicas} <span class="muted">of {item.max_replicas}</span>
              </td>
              <td class="right number nowrap">
                {resources(item.cpus, item.memory, item.gpus)}
              </td>
              <td class="right number nowrap">
                <Ago at={item.updated_at} />
              </td>
              <td class="right nowrap">
                <a
                  href={withQuery({ charts: item === selected ? null : keyOf(item) })}
                  aria-expanded={item === selected}
                  aria-label={`${item === selected ? "Hide charts" : "Charts"} of ${item.model_name} v${item.model_version}`}
                >
                  {item === selected ? "Hide" : "Charts"}
                </a>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
