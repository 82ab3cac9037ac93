/** Steps of a rollout in words, and what can be done in each status. */
import type { RolloutView } from "../../api/types";

export type RolloutAction = "approve" | "reject" | "pause" | "resume" | "promote" | "abort";

const ACTIONS: Partial<Record<RolloutView["status"], RolloutAction[]>> = {
  running: ["pause", "promote", "abort"],
  paused: ["resume", "promote", "abort"],
  awaiting_approval: ["approve", "reject"],
};

export function actionsOf(status: RolloutView["status"]): RolloutAction[] {
  return ACTIONS[status] ?? [];
}

export function stepText(step: Pick<RolloutView["steps"][number], "kind" | "weight">): string {
  return step.kind === "weight" ? `${step.weight} %` : step.kind;
}
