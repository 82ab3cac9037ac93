/** Where the time went: a bar with a part for each phase, and the same as figures. */
import type { JobView } from "../../api/types";
import { now } from "../../ui/clock";
import { duration } from "../../ui/format";

const PHASES: [string, string][] = [
  ["queued", "waiting"],
  ["environment", "environment"],
  ["starting", "starting"],
  ["script", "script"],
  ["registration", "registration"],
  ["deployment", "deployment"],
];

/** A part narrower than this would not be seen. */
const SMALLEST_SHARE = 0.004;

export interface Phase {
  id: string;
  label: string;
  seconds: number;
  isNow: boolean;
}

/** The phases that took time, in their order. `readAt`: when the platform told them, in milliseconds. */
export function phasesOf(job: JobView, readAt: number, present: number): Phase[] {
  return PHASES.filter(([id]) => id in job.phases).map(([id, label]) => {
    const isNow = job.phase === id && job.finished_at === null;
    const seconds = (job.phases[id] ?? 0) + (isNow ? Math.max(0, present - readAt) / 1000 : 0);
    return { id, label, seconds, isNow };
  });
}

export function Timeline({ job, readAt }: { job: JobView; readAt: number }) {
  const phases = phasesOf(job, readAt, now.value);
  const total = phases.reduce((sum, phase) => sum + phase.seconds, 0);
  if (!phases.length) return null;
  return (
    <section class="timeline" aria-label="Time of each phase">
      <div class="timeline-bar" aria-hidden="true">
        {phases
          .filter((phase) => phase.seconds > 0)
          .map((phase) => (
            <span
              key={phase.id}
              class={`phase phase-${phase.id}${phase.isNow ? " now" : ""}`}
              style={{ flexGrow: Math.max(phase.seconds / (total || 1), SMALLEST_SHARE) }}
              title={`${phase.label}: ${duration(phase.seconds)}`}
            />
          ))}
      </div>
      <dl class="timeline-figures">
        {phases.map((phase) => (
          <div key={phase.id} class={phase.isNow ? "now" : undefined}>
            <dt>
              <span class={`swatch phase-${phase.id}`} aria-hidden="true" />
              {phase.label}
              {phase.isNow && <span class="muted"> (now)</span>}
            </dt>
            <dd>{duration(phase.seconds)}</dd>
          </div>
        ))}
        <div class="total">
          <dt>total</dt>
          <dd>{duration(total)}</dd>
        </div>
      </dl>
    </section>
  );
}
