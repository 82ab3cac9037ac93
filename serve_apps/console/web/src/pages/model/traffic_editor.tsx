/** Changes a traffic table: weights that sum to 100, copies, sticky requests. It asks with before → after. */
import { useRef, useState } from "preact/hooks";
import { ApiError, api, dataOf } from "../../api/client";
import type { ModelView, TrafficView } from "../../api/types";
import { toneOf } from "../../charts/tones";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { Ago } from "../../ui/parts";
import { command, curl, literal, python } from "../../ui/snippets";
import {
  added,
  argumentsOf,
  bodyOf,
  type Difference,
  differences,
  type Draft,
  draftOf,
  fault,
  rebalanced,
  removed,
  targetLabel,
  tableText,
  wordsOf,
} from "./draft";

export interface EditorProps {
  model: ModelView;
  traffic: TrafficView;
  onClose: () => void;
  onDone: () => void;
}

export function TrafficEditor({ model, traffic, onClose, onDone }: EditorProps) {
  const base = useRef(traffic);
  const [draft, setDraft] = useState<Draft>(() => draftOf(traffic));
  const [isAsked, ask] = useState(false);
  const [, redraw] = useState(0);
  const change = (part: Partial<Draft>) => setDraft((before) => ({ ...before, ...part }));
  const isChanged = traffic.revision !== base.current.revision;
  const wrong = fault(draft);
  const rebase = () => {
    base.current = traffic;
    redraw((count) => count + 1);
  };
  return (
    <div class="traffic-editor">
      {isChanged && (
        <div class="reason reason-queued" role="alert">
          <p>
            <b>{traffic.updated_by ?? "Somebody"}</b> changed the table <Ago at={traffic.updated_at} />: {tableText(traffic)}. Your edit is kept.
          </p>
          <div class="actions">
            <button type="button" onClick={rebase}>
              Keep my edit
            </button>
            <button
              type="button"
              onClick={() => {
                setDraft(draftOf(traffic));
                rebase();
              }}
            >
              Take theirs
            </button>
          </div>
        </div>
      )}
      <Weights model={model} draft={draft} change={change} />
      <Copies model={model} draft={draft} change={change} />
      <Sticky draft={draft} change={change} />
      {wrong && (
        <p class="field-error" role="alert">
          {wrong}
        </p>
      )}
      <div class="actions">
        <button type="button" class="primary" aria-disabled={!!wrong || isChanged} onClick={() => !wrong && !isChanged && ask(true)}>
          Review
        </button>
        <button type="button" onClick={onClose}>
          Cancel
        </button>
      </div>
      {isAsked && <Review name={model.model_name} before={base.current} draft={draft} onClose={() => ask(false)} onDone={onDone} />}
    </div>
  );
}

interface PartProps {
  model: ModelView;
  draft: Draft;
  change: (part: Partial<Draft>) => void;
}

function Weights({ model, draft, change }: PartProps) {
  const set = (at: number, value: number) => change({ routes: rebalanced(draft.routes, at, value) });
  const isAlone = draft.routes.length < 2;
  const taken = new Set(draft.routes.map((route) => route.target));
  const versions = deployed(model).filter((version) => !taken.has(version));
  const aliases = Object.keys(model.aliases).filter((alias) => !taken.has(alias));
  return (
    <fieldset class="weights">
      <legend>Share of requests, in %</legend>
      {draft.routes.map((route, at) => {
        const label = targetLabel(route.target, route.isAlias);
        const version = route.isAlias ? model.aliases[route.target] : route.target;
        return (
          <div class="weight" key={route.target}>
            <span class="weight-name">
              <span class={`swatch share-${toneOf(version ?? "?")}`} aria-hidden="true" />
              {label}
              {route.isAlias && <span class="muted"> → {version ? `v${version}` : "absent"}</span>}
            </span>
            <input type="range" min="0" max="100" step="1" value={route.weight} disabled={isAlone} aria-label={`Share of ${label}`} onInput={(event) => set(at, Number(event.currentTarget.value))} />
            <input type="number" min="0" max="100" step="0.1" value={route.weight} disabled={isAlone} aria-label={`Share of ${label} in percent`} onChange={(event) => set(at, Number(event.currentTarget.value))} />
            <button type="button" class="quiet" disabled={isAlone} aria-label={`Remove ${label}`} onClick={() => change({ routes: removed(draft.routes, at) })}>
              Remove
            </button>
          </div>
        );
      })}
      {(versions.length > 0 || aliases.length > 0) && (
        <label class="inline">
          Add
          <select
            value=""
            onChange={(event) => {
              const target = event.currentTarget.value;
              if (target) change({ routes: added(draft.routes, target, aliases.includes(target)) });
              event.currentTarget.value = "";
            }}
          >
            <option value="">a version or an alias…</option>
            {versions.map((version) => (
              <option key={version} value={version}>
                v{version}
              </option>
            ))}
            {aliases.map((alias) => (
              <option key={alias} value={alias}>
                {alias} → v{model.aliases[alias]}
              </option>
            ))}
          </select>
        </label>
      )}
    </fieldset>
  );
}

function Copies({ model, draft, change }: PartProps) {
  const targets = [...new Set([...deployed(model), ...draft.shadow])];
  const toggle = (target: string, isOn: boolean) => change({ shadow: isOn ? [...draft.shadow, target] : draft.shadow.filter((item) => item !== target) });
  return (
    <fieldset class="choices">
      <legend>Copies of each request, whose answers are thrown away</legend>
      {targets.map((target) => (
        <label key={target} class="inline">
          <input type="checkbox" checked={draft.shadow.includes(target)} onChange={(event) => toggle(target, event.currentTarget.checked)} /> {targetLabel(target)}
        </label>
      ))}
    </fieldset>
  );
}

function Sticky({ draft, change }: Pick<PartProps, "draft" | "change">) {
  return (
    <fieldset class="choices">
      <legend>Requests with the same value go to the same version</legend>
      <label class="inline">
        By
        <select value={draft.stickyBy} onChange={(event) => change({ stickyBy: event.currentTarget.value as Draft["stickyBy"] })}>
          <option value="">nothing</option>
          <option value="header">a header</option>
          <option value="field">a field of the body</option>
        </select>
      </label>
      {draft.stickyBy && (
        <label class="inline">
          Name
          <input value={draft.stickyName} placeholder={draft.stickyBy === "header" ? "X-User" : "params.user"} onInput={(event) => change({ stickyName: event.currentTarget.value })} />
        </label>
      )}
    </fieldset>
  );
}

interface ReviewProps {
  name: string;
  before: TrafficView;
  draft: Draft;
  onClose: () => void;
  onDone: () => void;
}

function Review({ name, before, draft, onClose, onDone }: ReviewProps) {
  const body = bodyOf(draft);
  const apply = async () => {
    const headers = { "If-Match": `"${before.revision}"` };
    try {
      await dataOf(api.PUT("/mlops/models/{name}/traffic", { params: { path: { name } }, body: body as never, headers }));
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 412) throw error;
      const { data: now } = await api.GET("/mlops/models/{name}/traffic", { params: { path: { name } } });
      throw new Error(`${now?.updated_by ?? "Somebody"} has changed the table meanwhile: ${tableText(now)}. Your edit is kept: go back and look at both.`);
    }
    onDone();
  };
  return (
    <Confirm title={`Change the traffic of ${name}?`} action="Apply" onClose={onClose} onConfirm={apply}>
      <Differences lines={differences(current(before), body)} />
      <AsCode
        cli={command(...wordsOf(name, draft))}
        python={python(`client.traffic.set(${literal(name)}, ${argumentsOf(draft, literal)})`)}
        curl={curl("PUT", `/mlops/models/${encodeURIComponent(name)}/traffic`, body)}
      />
    </Confirm>
  );
}

/** Without a table, the versions that answer are the table. */
function current(traffic: TrafficView): Parameters<typeof differences>[0] {
  return traffic.routes.length ? traffic : bodyOf(draftOf(traffic));
}

export function Differences({ lines }: { lines: Difference[] }) {
  return (
    <table class="differences">
      <thead>
        <tr>
          <th scope="col">Target</th>
          <th scope="col" class="right">
            Before
          </th>
          <th scope="col" class="right">
            After
          </th>
        </tr>
      </thead>
      <tbody>
        {lines.map((line) => (
          <tr key={line.label} class={line.before === line.after ? "muted" : undefined}>
            <th scope="row">{line.label}</th>
            <td class="right number">{line.before}</td>
            <td class="right number">{line.before === line.after ? line.after : <b>{line.after}</b>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Versions that can answer, newest first. */
function deployed(model: ModelView): string[] {
  return model.versions.filter((version) => version.deployment && version.deployment.status !== "stopped").map((version) => version.model_version);
}
