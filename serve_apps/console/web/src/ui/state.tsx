/** States by shape and word: the colour only repeats what both say. */
import type { ComponentChildren } from "preact";
import { words } from "./format";

type Tone = "wait" | "run" | "ok" | "bad" | "off";
type Shape = "dots" | "half" | "check" | "cross" | "slash" | "moon" | "bang";

const LOOKS: Record<string, [Tone, Shape]> = {
  queued: ["wait", "dots"],
  running: ["run", "half"],
  completed: ["ok", "check"],
  failed: ["bad", "cross"],
  cancelled: ["off", "slash"],
  pending: ["wait", "dots"],
  starting: ["run", "half"],
  ready: ["ok", "check"],
  scaled_to_zero: ["off", "moon"],
  unhealthy: ["bad", "bang"],
  stopped: ["off", "slash"],
  draining: ["wait", "dots"],
  not_prepared: ["off", "slash"],
  out_of_contact: ["bad", "bang"],
  up: ["ok", "check"],
  down: ["bad", "bang"],
};

const SHAPES: Record<Shape, ComponentChildren> = {
  dots: <circle cx="8" cy="8" r="5.5" class="line dashed" />,
  half: (
    <>
      <circle cx="8" cy="8" r="5.5" class="line faint" />
      <path d="M8 2.5a5.5 5.5 0 0 1 5.5 5.5" class="line turning" />
    </>
  ),
  check: (
    <>
      <circle cx="8" cy="8" r="6.5" class="fill" />
      <path d="m5.2 8.2 2 2 3.6-4.2" class="mark" />
    </>
  ),
  cross: (
    <>
      <path d="M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3z" class="fill" />
      <path d="m5.8 5.8 4.4 4.4m0-4.4-4.4 4.4" class="mark" />
    </>
  ),
  slash: (
    <>
      <circle cx="8" cy="8" r="5.5" class="line" />
      <path d="m4.2 11.8 7.6-7.6" class="line" />
    </>
  ),
  moon: <path d="M13 9.6A5.6 5.6 0 0 1 6.4 3a5.6 5.6 0 1 0 6.6 6.6z" class="line" />,
  bang: (
    <>
      <path d="M8 1.6 15 14H1z" class="fill" />
      <path d="M8 6v3.6m0 1.7v.4" class="mark" />
    </>
  ),
};

export function StateIcon({ state }: { state: string }) {
  const [tone, shape] = LOOKS[state] ?? ["off", "slash"];
  return (
    <svg class={`state-icon tone-${tone}`} viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
      {SHAPES[shape]}
    </svg>
  );
}

export interface StateProps {
  state: string;
  /** In the place of the state's own word. */
  word?: string | undefined;
  detail?: string | undefined;
}

export function State({ state, word, detail }: StateProps) {
  const [tone] = LOOKS[state] ?? ["off"];
  return (
    <span class={`state tone-${tone}`}>
      <StateIcon state={state} />
      <span>{word ?? words(state)}</span>
      {detail && <span class="state-detail">{detail}</span>}
    </span>
  );
}
