/** The active or else the last rollout of a model: its steps, what was observed, what can be done with it, and why it ended. */
import { useState } from "preact/hooks";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { RolloutView } from "../../api/types";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { duration, grouped, percent, words } from "../../ui/format";
import { command, curl, literal, python } from "../../ui/snippets";
import { milliseconds } from "../../charts/units";
import { Ago } from "../../ui/parts";
import { State } from "../../ui/state";
import { actionsOf, effectOf, LOOKS, type RolloutAction, stepText } from "./rollout_text";

const QUESTIONS: Record<RolloutAction, string> = {
  approve: "Let the rollout go on?",
  reject: "Reject the version, and go back?",
  pause: "Hold the rollout at its step?",
  resume: "Let the rollout go on?",
  promote: "Skip the steps that are left?",
  abort: "End the rollout, and go back?",
};

/** A component for one model, as `Later` takes it. */
export function rolloutOf(model: string, onDone: () => void) {
  return () => <Rollout model={model} onDone={onDone} />;
}

function Rollout({ model, onDone }: { model: string; onDone: () => void }) {
  const path = { rollout_id: model };
  const { data, refresh } = usePoll(`rollout ${model}`, (call) => api.GET("/mlops/rollouts/{rollout_id}", { ...call, params: { path } }), 2);
  const [asked, ask] = useState<RolloutAction>();
  const right = useRight("deploy");
  if (!data) return null;
  return (
    <section aria-labelledby="rollout">
      <div class="bar">
        <h2 id="rollout">
          {data.active ? "Rollout" : "Last rollout"} v{data.champion} → v{data.candidate}
        </h2>
        <State state={LOOKS[data.status]} word={words(data.status)} />
        {actionsOf(data.status).map((action) => (
          <button key={action} type="button" disabled={!right.isGiven} title={right.why} onClick={() => ask(action)}>
            {action[0]?.toUpperCase() + action.slice(1)}
          </button>
        ))}
      </div>
      <p>
        {data.message} <span class="muted">{data.finished_at ? <Ago at={data.finished_at} /> : <>begun <Ago at={data.created_at} /> by {data.created_by}</>}</span>
      </p>
      {data.active && <Steps rollout={data} />}
      <Figures rollout={data} />
      <History rollout={data} />
      {asked && (
        <Confirm
          title={QUESTIONS[asked]}
          action={asked[0]?.toUpperCase() + asked.slice(1)}
          isDangerous={asked === "abort" || asked === "reject"}
          onClose={() => ask(undefined)}
          onConfirm={async () => {
            await dataOf(api.POST(`/mlops/rollouts/{rollout_id}/${asked}`, { params: { path: { rollout_id: data.rollout_id } } }));
            refresh();
            onDone();
          }}
        >
          <p>{effectOf(asked, data)}</p>
          <AsCode
            cli={command("rollout", asked, model)}
            python={python(`client.rollouts.${asked}(${literal(model)})`)}
            curl={curl("POST", `/mlops/rollouts/${encodeURIComponent(model)}/${asked}`)}
          />
        </Confirm>
      )}
    </section>
  );
}

function Steps({ rollout }: { rollout: RolloutView }) {
  return (
    <ol class="share-figures">
      {rollout.steps.map((step, index) => (
        <li key={index} class={step.state === "active" ? undefined : "muted"} aria-current={step.state === "active" ? "step" : undefined}>
          {step.state === "done" && "✓ "}
          {step.state === "active" ? <b>{stepText(step)}</b> : stepText(step)}
          {step.pause_seconds ? `, ${duration(step.pause_seconds)}` : ""}
        </li>
      ))}
    </ol>
  );
}

function History({ rollout }: { rollout: RolloutView }) {
  if (!rollout.history.length) return null;
  return (
    <details class="history">
      <summary>What happened in it</summary>
      <ol class="plain">
        {rollout.history.map((entry, index) => (
          <li key={index}>
            <span class="muted number">
              <Ago at={entry.at} />
            </span>{" "}
            {entry.message} {entry.who && !entry.message.includes(entry.who) && <span class="muted">by {entry.who}</span>}
          </li>
        ))}
      </ol>
    </details>
  );
}

function Figures({ rollout }: { rollout: RolloutView }) {
  return (
    <p class="muted">
      {rollout.versions
        .map((item) => {
          const p95 = item.p95_seconds == null ? "" : `, p95 ${milliseconds(item.p95_seconds * 1000)}`;
          return `v${item.version}: ${grouped(item.failures)} of ${grouped(item.requests)} requests failed${item.requests ? ` (${percent(item.failures / item.requests)})` : ""}${p95}`;
        })
        .join("; ")}
    </p>
  );
}
