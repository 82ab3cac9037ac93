/** Registered models. */
import { api } from "../api/client";
import { usePoll } from "../api/poll";
import type { ModelSummary } from "../api/types";
import { link } from "../router";
import { Ago, Empty, Failure, Loading, PageHead } from "../ui/parts";

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
            <th>Newest</th>
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
              <td class="number">{model.latest_version ? `v${model.latest_version}` : "—"}</td>
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
