/** Who answers for a model's name: shares, how to change and undo them, and who changed them before. */
import { useState } from "preact/hooks";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { ModelView, TrafficChangeView, TrafficView } from "../../api/types";
import { toneOf } from "../../charts/tones";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { percent } from "../../ui/format";
import { Later } from "../../ui/later";
import { Ago } from "../../ui/parts";
import { command, curl, literal, python } from "../../ui/snippets";
import { differences, tableText } from "./draft";
import { Differences, TrafficEditor } from "./traffic_editor";

export interface TrafficProps {
  model: ModelView;
  traffic: TrafficView;
  refresh: () => void;
}

export function Traffic({ model, traffic, refresh }: TrafficProps) {
  const [isEditing, setEditing] = useState(false);
  const right = useRight("deploy");
  const name = model.model_name;
  const params = { path: { name } };
  const history = usePoll(`traffic history ${name}`, (call) => api.GET("/mlops/models/{name}/traffic/history", { ...call, params }), 5);
  // The last one, too: somebody asks in the morning why it was rolled back at night.
  const query = { model_name: name, limit: 1 };
  const rollouts = usePoll(`rollouts ${name}`, (call) => api.GET("/mlops/rollouts", { ...call, params: { query } }), 3);
  const done = () => {
    refresh();
    rollouts.refresh();
    history.refresh();
  };
  return (
    <section aria-labelledby="traffic">
      <div class="bar">
        <h2 id="traffic">Who answers "{name}"</h2>
        {!isEditing && (
          <button type="button" disabled={!right.isGiven} title={right.why} onClick={() => setEditing(true)}>
            Change traffic
          </button>
        )}
      </div>
      <Shares traffic={traffic} />
      {rollouts.data?.rollouts.length ? <Later key={name} name={`rollout of ${name}`} load={() => import("./rollout").then((file) => file.rolloutOf(name, done))} /> : null}
      {isEditing && (
        <TrafficEditor
          model={model}
          traffic={traffic}
          onClose={() => setEditing(false)}
          onDone={() => {
            setEditing(false);
            done();
          }}
        />
      )}
      {history.data && history.data.changes.length > 0 && <History name={name} traffic={traffic} changes={history.data.changes} onDone={done} />}
    </section>
  );
}

function Shares({ traffic }: { traffic: TrafficView }) {
  const shares = traffic.versions.filter((item) => !item.shadow);
  const shadows = traffic.versions.filter((item) => item.shadow);
  const tone = (version: string | null) => toneOf(version ?? "?");
  return (
    <>
      {shares.some((item) => item.share) && (
        <div class="shares" aria-hidden="true">
          {shares.map((item, index) => (
            <span key={index} class={`share share-${tone(item.model_version)}`} style={{ flexGrow: item.share ?? 0, display: item.share ? undefined : "none" }} />
          ))}
        </div>
      )}
      <ul class="share-figures">
        {shares.map((item, index) => (
          <li key={index}>
            <span class={`swatch share-${tone(item.model_version)}`} aria-hidden="true" />
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
          ? shares.length
            ? "There is no traffic table: the newest version that is ready answers."
            : "No version answers. Deploy one, or let a job register one."
          : `Revision ${traffic.revision}, by ${traffic.updated_by ?? "?"} `}
        {traffic.routes.length > 0 && <Ago at={traffic.updated_at} />}
        {traffic.sticky && `; sticky by ${traffic.sticky.header ? `header ${traffic.sticky.header}` : `field ${traffic.sticky.field}`}`}
      </p>
    </>
  );
}

interface HistoryProps {
  name: string;
  traffic: TrafficView;
  changes: TrafficChangeView[];
  onDone: () => void;
}

function History({ name, traffic, changes, onDone }: HistoryProps) {
  const [undone, setUndone] = useState<{ change: TrafficChangeView; isRestore: boolean }>();
  const latest = changes.find((change) => change.alias === null);
  const right = useRight("deploy");
  return (
    <details class="history">
      <summary>
        {changes.length} {changes.length === 1 ? "change" : "changes"}, the last by {changes[0]?.who} <Ago at={changes[0]?.at} />
      </summary>
      <div class="table-box">
        <table>
          <thead>
            <tr>
              <th>When</th>
              <th>Who</th>
              <th>Before</th>
              <th>After</th>
              <th class="right">Undo</th>
            </tr>
          </thead>
          <tbody>
            {changes.map((change) => (
              <tr key={change.sequence}>
                <td class="number nowrap">
                  <Ago at={change.at} />
                </td>
                <td>{change.who}</td>
                <td>{change.alias === null ? tableText(change.before) : aliasText(change.alias, change.before_version)}</td>
                <td>
                  {change.alias === null ? tableText(change.after) : aliasText(change.alias, change.after_version)}
                  {(change.action === "rollback" || change.action === "rollout") && <span class="muted"> by a {change.action}</span>}
                </td>
                <td class="right nowrap">
                  {change === latest && (
                    <button type="button" class="as-link" disabled={!right.isGiven} title={right.why} onClick={() => setUndone({ change, isRestore: false })}>
                      Roll back
                    </button>
                  )}
                  {change.alias === null && change !== latest && (change.revision ?? 0) > 0 && change.revision !== traffic.revision && (
                    <button
                      type="button"
                      class="as-link"
                      disabled={!right.isGiven}
                      title={right.why}
                      aria-label={`Restore revision ${change.revision}`}
                      onClick={() => setUndone({ change, isRestore: true })}
                    >
                      Restore
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {undone && <Rollback name={name} traffic={traffic} {...undone} onClose={() => setUndone(undefined)} onDone={onDone} />}
    </details>
  );
}

interface RollbackProps {
  name: string;
  traffic: TrafficView;
  change: TrafficChangeView;
  isRestore: boolean;
  onClose: () => void;
  onDone: () => void;
}

function Rollback({ name, traffic, change, isRestore, onClose, onDone }: RollbackProps) {
  const table = isRestore ? change.after : change.before;
  const nothing = { routes: [], shadow: [], sticky: null };
  const body = isRestore ? { revision: change.revision } : undefined;
  return (
    <Confirm
      title={isRestore ? `Restore revision ${change.revision}?` : "Undo the last change?"}
      action={isRestore ? "Restore" : "Roll back"}
      onClose={onClose}
      onConfirm={async () => {
        await dataOf(api.POST("/mlops/models/{name}/rollback", { params: { path: { name } }, body: (body ?? {}) as never }));
        onDone();
      }}
    >
      <Differences lines={differences(traffic, table ?? nothing)} />
      {!table?.routes.length && <p>There is no table then: the newest version that is ready answers.</p>}
      <AsCode
        cli={command("traffic", "rollback", name, ...(body ? ["--revision", String(change.revision)] : []))}
        python={python(`client.traffic.rollback(${literal(name)}${body ? `, revision=${change.revision}` : ""})`)}
        curl={curl("POST", `/mlops/models/${encodeURIComponent(name)}/rollback`, body)}
      />
    </Confirm>
  );
}

function aliasText(alias: string, version: string | null): string {
  return `${alias} ${version ? `→ v${version}` : "absent"}`;
}
