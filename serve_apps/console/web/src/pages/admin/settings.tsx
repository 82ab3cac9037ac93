/** Effective settings, versions, and where the API is described. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import { query, setQuery } from "../../router";
import { Failure, Loading, PageHead } from "../../ui/parts";
import { type Leaf, sectionsOf, unitOf } from "./sections";

const NAMES: Record<string, string> = { raylift: "Raylift", python: "Python", ray: "Ray", mlflow: "MLflow" };

export function SettingsPage() {
  const { data, error } = usePoll("settings", (call) => api.GET("/mlops/settings", call), 0);
  const text = (query.value.get("q") ?? "").toLowerCase();
  return (
    <>
      <PageHead
        title="Settings"
        beside={data && <span class="muted">{Object.entries(data.versions).map(([name, version]) => `${NAMES[name] ?? name} ${version}`).join(" · ")}</span>}
        actions={
          <>
            <a class="button" href="/docs" target="_blank">
              API reference
            </a>
            <a class="button" href="/openapi.json" target="_blank">
              OpenAPI
            </a>
          </>
        }
      />
      {error && <Failure error={error} what="settings" />}
      {!data && !error && <Loading />}
      {data && (
        <>
          <div class="filters">
            <input
              type="search"
              data-find
              class="search"
              placeholder="Filter settings"
              aria-label="Filter settings"
              value={query.value.get("q") ?? ""}
              onInput={(event) => setQuery({ q: event.currentTarget.value })}
            />
            <span class="muted">As they are in effect; secrets are hidden. They change with the file of <code>raylift up --config</code>.</span>
          </div>
          <div class="settings">
            {sectionsOf(data.settings).map(([section, leaves]) => (
              <Section key={section} name={section} leaves={leaves.filter(([name]) => name.toLowerCase().includes(text))} />
            ))}
          </div>
        </>
      )}
    </>
  );
}

function Section({ name, leaves }: { name: string; leaves: Leaf[] }) {
  if (!leaves.length) return null;
  return (
    <section aria-label={name}>
      <h2>{name}</h2>
      <dl>
        {leaves.map(([key, value]) => (
          <div key={key}>
            <dt>{breakable(key.startsWith(`${name}.`) ? key.slice(name.length + 1) : key)}</dt>
            <dd>
              {value ? <code>{value}</code> : <span class="muted">none</span>} <span class="muted">{unitOf(key, value)}</span>
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** "max_queued_jobs" that may break after its underscores and dots. */
function breakable(name: string) {
  return name.split(/(?<=[_.])/).flatMap((part, index) => (index ? [<wbr key={index} />, part] : [part]));
}
