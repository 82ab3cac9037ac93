/** Registered models; one model with its versions and the share of requests that each answers. */
import { api } from "../api/client";
import { usePoll } from "../api/poll";
import type { ModelSummary, ModelView, TrafficView, VersionView } from "../api/types";
import { link } from "../router";
import { metric, percent } from "../ui/format";
import { Ago, Empty, Failure, Loading, PageHead } from "../ui/parts";
import { State } from "../ui/state";

export function ModelsPage() {
  const { data, error } = usePoll("models", (call) => api.GET("/mlops/models", call), 5);
  return (
    <>
      <PageHead title="Models" />
      {error && <Failure error={error} what="list of models" />}
      {!data && !error && <Loading />}
      {data && data.models.length === 0 && (
        <Empty title="No models yet">
          <p>A job that logs a model registers a version of it.</p>
          <a class="button primary" href={link("new")}>
            New job
          </a>
        </Empty>
      )}
      {data && data.models.length > 0 && <Models models={data.models} />}
    </>
  );
}

function Models({ models }: { models: ModelSummary[] }) {
  return (
    <div class="table-box">
      <table>
        <thead>
          <tr>
            <th>Model</th>
            <th class="right">Newest version</th>
            <th>Answering</th>
            <th>Aliases</th>
            <th class="right">Changed</th>
          </tr>
        </thead>
        <tbody>
          {models.map((model) => (
            <tr key={model.model_name}>
              <td>
                <a href={link("models", model.model_name)} data-row>
                  {model.model_name}
                </a>
              </td>
              <td class="right number">{model.latest_version ? `v${model.latest_version}` : "—"}</td>
              <td>
                {model.ready_versions.length ? (
                  model.ready_versions.map((version) => `v${version}`).join(", ")
                ) : (
                  <span class="muted">none</span>
                )}
              </td>
              <td>
                <Aliases aliases={model.aliases} />
              </td>
              <td class="right number nowrap">
                <Ago at={model.updated_at ?? model.created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Aliases({ aliases }: { aliases: Record<string, string> }) {
  const items = Object.entries(aliases);
  if (!items.length) return <span class="muted">—</span>;
  return (
    <>
      {items.map(([alias, version]) => (
        <span key={alias} class="tag">
          {alias} → v{version}
        </span>
      ))}
    </>
  );
}

export function ModelPage({ name }: { name: string }) {
  const params = { path: { name } };
  const { data, error } = usePoll(`model ${name}`, (call) => api.GET("/mlops/models/{name}", { ...call, params }), 3);
  const traffic = usePoll(`traffic ${name}`, (call) => api.GET("/mlops/models/{name}/traffic", { ...call, params }), 3);
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
      {traffic.data && <Traffic traffic={traffic.data} />}
      <Versions model={data} traffic={traffic.data} />
    </>
  );
}

function Traffic({ traffic }: { traffic: TrafficView }) {
  const shares = traffic.versions.filter((item) => !item.shadow && item.share);
  const shadows = traffic.versions.filter((item) => item.shadow);
  return (
    <section aria-labelledby="traffic">
      <h2 id="traffic">Who answers "{traffic.model_name}"</h2>
      {shares.length > 0 && (
        <div class="shares" aria-hidden="true">
          {shares.map((item, index) => (
            <span key={index} class={`share share-${index % 4}`} style={{ flexGrow: item.share ?? 0 }} />
          ))}
        </div>
      )}
      <ul class="share-figures">
        {shares.map((item, index) => (
          <li key={index}>
            <span class={`swatch share-${index % 4}`} aria-hidden="true" />
            <b class="number">{percent(item.share)}</b> v{item.model_version ?? "?"}
            {item.alias && <span class="muted"> by alias {item.alias}</span>}
          </li>
        ))}
        {shadows.map((item, index) => (
          <li key={`shadow ${index}`} class="muted">
            v{item.model_version ?? "?"} gets a copy of each request
          </li>
        ))}
      </ul>
      <p class="muted">
        {traffic.routes.length === 0
          ? "There is no traffic table: the newest version that is ready answers."
          : `Table ${traffic.revision}, changed by ${traffic.updated_by ?? "?"} `}
        {traffic.routes.length > 0 && <Ago at={traffic.updated_at} />}
      </p>
    </section>
  );
}

function Versions({ model, traffic }: { model: ModelView; traffic: TrafficView | undefined }) {
  const names = metricNames(model.versions);
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
                <td>{version.lineage.job_id ? <a href={link("jobs", version.lineage.job_id)}>job</a> : <span class="muted">—</span>}</td>
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

/** The three metrics that most versions have. */
function metricNames(versions: VersionView[]): string[] {
  const counts = new Map<string, number>();
  for (const version of versions) for (const name of Object.keys(version.metrics)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts]
    .sort(([first, few], [second, many]) => many - few || first.localeCompare(second))
    .slice(0, 3)
    .map(([name]) => name);
}

function shareOf(traffic: TrafficView | undefined, version: string): string {
  const shares = traffic?.versions.filter((item) => item.model_version === version && !item.shadow) ?? [];
  const sum = shares.reduce((total, item) => total + (item.share ?? 0), 0);
  return sum ? percent(sum) : "—";
}
