/** The active rollout of a model: its steps, what was observed, and what can be done with it. */
import { useState } from "preact/hooks";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { RolloutView } from "../../api/types";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { duration, percent } from "../../ui/format";
import { command, curl, literal, python } from "../../ui/snippets";
import { actionsOf, type RolloutAction, stepText } from "./rollout_text";

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
          Rollout v{data.champion} → v{data.candidate}
        </h2>
        {actionsOf(data.status).map((action) => (
          <button key={action} type="button" disabled={!right.isGiven} title={right.why} onClick={() => ask(action)}>
            {action[0]?.toUpperCase() + action.slice(1)}
          </button>
        ))}
      </div>
      <p>{data.message}</p>
      <ol class="share-figures">
        {data.steps.map((step, index) => (
          <li key={index} class={step.state === "active" ? undefined : "muted"} aria-current={step.state === "active" ? "step" : undefined}>
            {step.state === "done" && "✓ "}
            {step.state === "active" ? <b>{stepText(step)}</b> : stepText(step)}
            {step.pause_seconds ? `, ${duration(step.pause_seconds)}` : ""}
          </li>
        ))}
      </ol>
      <Figures rollout={data} />
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

function Figures({ rollout }: { rollout: RolloutView }) {
  return (
    <p class="muted">
      {rollout.versions
        .map((item) => {
          const p95 = item.p95_seconds === null ? "" : `, p95 ${((item.p95_seconds ?? 0) * 1000).toFixed(1)} ms`;
          return `v${item.version}: ${item.failures} of ${item.requests} failed${item.requests ? ` (${percent(item.failures / item.requests)})` : ""}${p95}`;
        })
        .join("; ")}
    </p>
  );
}
