/** What is shown until the answer comes: a cold version says that it starts, how far it is, and for how long it has. */
import { useState } from "preact/hooks";
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import { now } from "../../ui/clock";
import { State } from "../../ui/state";

/** An answer of a warm version comes sooner than anything could be read. */
const SOON_SECONDS = 2;

export function Waiting({ name, versions }: { name: string; versions: string[] }) {
  const [since] = useState(Date.now);
  const { data } = usePoll(`model ${name}`, (call) => api.GET("/mlops/models/{name}", { ...call, params: { path: { name } } }), 1);
  const seconds = Math.max(0, Math.floor((now.value - since) / 1000));
  const deployments = data?.versions.flatMap((each) => each.deployment ?? []) ?? [];
  const cold = deployments.filter((each) => versions.includes(each.model_version) && each.status !== "ready");
  return (
    <div class="waiting" role="status">
      <p class="muted">
        Asking{seconds >= SOON_SECONDS && `, ${seconds} s so far`}. A version that is scaled to zero needs some seconds for its first answer.
      </p>
      {cold.length > 0 && (
        <ul class="plain">
          {cold.map((each) => (
            <li key={each.model_version}>
              <b>
                {name} v{each.model_version}
              </b>{" "}
              <State state={each.status} /> <span class="muted">{each.message ?? COLD[each.status]}</span>
            </li>
          ))}
        </ul>
      )}
      {cold.length > 0 && <progress aria-label="Start of the version" />}
    </div>
  );
}

const COLD: Record<string, string> = {
  scaled_to_zero: "It has no process; this request starts one.",
  pending: "It waits for its turn to start.",
  starting: "A process loads the model.",
};
