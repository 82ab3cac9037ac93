/** One model: who answers for its name, how its versions compare, and what is registered. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { ModelView, TrafficView } from "../../api/types";
import { CompareVersions } from "../../charts/compare";
import { metricNames, TrainingMetrics } from "../../charts/training";
import { link } from "../../router";
import { metric, percent, shortId } from "../../ui/format";
import { Ago, Failure, Loading, PageHead } from "../../ui/parts";
import { State } from "../../ui/state";
import { Aliases } from "./aliases";
import { Traffic } from "./traffic";

export function ModelPage({ name }: { name: string }) {
  const params = { path: { name } };
  const { data, error, refresh } = usePoll(`model ${name}`, (call) => api.GET("/mlops/models/{name}", { ...call, params }));
  const traffic = usePoll(`traffic ${name}`, (call) => api.GET("/mlops/models/{name}/traffic", { ...call, params }));
  if (error) return <Failure error={error} what="model" />;
  if (!data) return <Loading />;
  return (
    <>
      <PageHead
        above={<a href={link("models")}>Models</a>}
        title={name}
        actions={
          <>
            <a class="button" href={`${link("jobs")}?model=${encodeURIComponent(name)}`}>
              Its jobs
            </a>
            <a class="button" href={`${link("playground")}?model=${encodeURIComponent(name)}`}>
              Playground
            </a>
          </>
        }
      />
      {data.description && <p>{data.description}</p>}
      {traffic.data && <Traffic model={data} traffic={traffic.data} refresh={traffic.refresh} />}
      <Aliases
        model={data}
        onDone={() => {
          refresh();
          traffic.refresh();
        }}
      />
      <Versions model={data} traffic={traffic.data} />
      <CompareVersions model={data} />
      <TrainingMetrics model={data} />
    </>
  );
}

function Versions({ model, traffic }: { model: ModelView; traffic: TrafficView | undefined }) {
  const names = metricNames(model.versions).slice(0, 3);
  return (
    <section aria-labelledby="versions">
      <h2 id="versions">Versions</h2>
      <div class="table-box">
        <table>
          <thead>
            <tr>
              <th>Version</th>
              <th>Deployment</th>
              <th class="right">Share</th>
              {names.map((name) => (
                <th key={name} class="right">
                  {name}
                </th>
              ))}
              <th>Aliases</th>
              <th>Job</th>
              <th class="right">Registered</th>
            </tr>
          </thead>
          <tbody>
            {model.versions.map((version) => (
              <tr key={version.model_version}>
                <td>
                  <a href={link("models", model.model_name, version.model_version)} data-row>
                    v{version.model_version}
                  </a>
                </td>
                <td>{version.deployment ? <State state={version.deployment.status} /> : <span class="muted">not deployed</span>}</td>
                <td class="right number">{shareOf(traffic, version.model_version)}</td>
                {names.map((name) => (
                  <td key={name} class="right number">
                    {name in version.metrics ? metric(version.metrics[name] as number | null) : "—"}
                  </td>
                ))}
                <td>
                  {version.aliases.map((alias) => (
                    <span key={alias} class="tag">
                      {alias}
                    </span>
                  ))}
                </td>
                <td>{version.lineage.job_id ? <a href={link("jobs", version.lineage.job_id)}>{shortId(version.lineage.job_id)}</a> : <span class="muted">—</span>}</td>
                <td class="right number nowrap">
                  <Ago at={version.created_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function shareOf(traffic: TrafficView | undefined, version: string): string {
  const shares = traffic?.versions.filter((item) => item.model_version === version && !item.shadow) ?? [];
  const sum = shares.reduce((total, item) => total + (item.share ?? 0), 0);
  return sum ? percent(sum) : "—";
}
