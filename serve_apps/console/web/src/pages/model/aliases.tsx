/** MLflow aliases of a model: set, move, remove. */
import { useState } from "preact/hooks";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import type { ModelView } from "../../api/types";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { command, curl, literal, python } from "../../ui/snippets";
import { Differences } from "./traffic_editor";

interface Move {
  alias: string;
  /** null removes the alias. */
  version: string | null;
}

export function Aliases({ model, onDone }: { model: ModelView; onDone: () => void }) {
  const [move, ask] = useState<Move>();
  const [alias, setAlias] = useState("");
  const versions = model.versions.map((version) => version.model_version);
  const [version, setVersion] = useState("");
  const chosen = version || versions[0] || "";
  const aliases = Object.entries(model.aliases);
  const right = useRight("deploy");
  return (
    <section aria-labelledby="aliases">
      <h2 id="aliases">Aliases</h2>
      <ul class="aliases">
        {aliases.map(([name, current]) => (
          <li key={name}>
            <b>{name}</b>
            <label class="inline">
              <span class="unseen">Version of {name}</span>→
              <select
                value={current}
                disabled={!right.isGiven}
                title={right.why}
                onChange={(event) => {
                  const target = event.currentTarget.value;
                  event.currentTarget.value = current;
                  if (target !== current) ask({ alias: name, version: target });
                }}
              >
                {versions.map((number) => (
                  <option key={number} value={number}>
                    v{number}
                  </option>
                ))}
              </select>
            </label>
            <button
              type="button"
              class="quiet"
              disabled={!right.isGiven}
              title={right.why}
              aria-label={`Remove ${name}`}
              onClick={() => ask({ alias: name, version: null })}
            >
              Remove
            </button>
          </li>
        ))}
        <li>
          <form
            class="inline"
            onSubmit={(event) => {
              event.preventDefault();
              if (alias.trim() && chosen) ask({ alias: alias.trim(), version: chosen });
            }}
          >
            <input value={alias} placeholder={aliases.length ? "new alias" : "champion"} aria-label="New alias" onInput={(event) => setAlias(event.currentTarget.value)} />→
            <select value={chosen} aria-label="Version of the new alias" onChange={(event) => setVersion(event.currentTarget.value)}>
              {versions.map((number) => (
                <option key={number} value={number}>
                  v{number}
                </option>
              ))}
            </select>
            <button type="submit" disabled={!right.isGiven} title={right.why}>
              Set
            </button>
          </form>
        </li>
      </ul>
      {move && (
        <Confirmation
          model={model}
          move={move}
          onClose={() => ask(undefined)}
          onDone={() => {
            setAlias("");
            onDone();
          }}
        />
      )}
    </section>
  );
}

function Confirmation({ model, move, onClose, onDone }: { model: ModelView; move: Move; onClose: () => void; onDone: () => void }) {
  const { alias, version } = move;
  const name = model.model_name;
  const before = model.aliases[alias];
  const params = { path: { name, alias } };
  const path = `/mlops/models/${encodeURIComponent(name)}/aliases/${encodeURIComponent(alias)}`;
  const address = "/mlops/models/{name}/aliases/{alias}";
  const confirm = async () => {
    if (version === null) await dataOf(api.DELETE(address, { params }));
    else await dataOf(api.PUT(address, { params, body: { version } as never }));
    onDone();
  };
  return (
    <Confirm title={version === null ? `Remove the alias ${alias}?` : `${before ? "Move" : "Set"} the alias ${alias}?`} action={version === null ? "Remove" : before ? "Move" : "Set"} isDangerous={version === null} onClose={onClose} onConfirm={confirm}>
      <Differences lines={[{ label: alias, before: before ? `v${before}` : "—", after: version === null ? "—" : `v${version}` }]} />
      <p>Requests and traffic tables that name the alias follow at once.</p>
      <AsCode
        cli={version === null ? command("models", "alias", "rm", name, alias) : command("models", "alias", "set", name, alias, version)}
        python={python(version === null ? `client.models.delete_alias(${literal(name)}, ${literal(alias)})` : `client.models.set_alias(${literal(name)}, ${literal(alias)}, ${literal(version)})`)}
        curl={version === null ? curl("DELETE", path) : curl("PUT", path, { version })}
      />
    </Confirm>
  );
}
