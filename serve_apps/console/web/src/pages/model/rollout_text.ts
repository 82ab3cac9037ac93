/** Steps of a rollout in words, and what can be done in each status. */
import type { RolloutView } from "../../api/types";

export type RolloutAction = "approve" | "reject" | "pause" | "resume" | "promote" | "abort";

const ACTIONS: Partial<Record<RolloutView["status"], RolloutAction[]>> = {
  running: ["pause", "promote", "abort"],
  paused: ["resume", "promote", "abort"],
  awaiting_approval: ["approve", "reject"],
};

/** What each action does, told before it is done; how to take it back, where that is another action. */
export function effectOf(action: RolloutAction, rollout: Pick<RolloutView, "candidate" | "alias">): string {
  const restored = "The traffic is again what it was before the rollout.";
  switch (action) {
    case "approve":
      return "The next step begins at once. Abort goes back.";
    case "resume":
      return "It goes on with the step at which it was held.";
    case "pause":
      return "The traffic stays as it is, and the guards go on. Resume ends the pause.";
    case "promote":
      return `Version ${rollout.candidate} gets all requests now${rollout.alias ? `, and the alias ${rollout.alias} moves to it` : ""}. Roll back in the history undoes the traffic.`;
    case "abort":
    case "reject":
      return restored;
  }
}

/** Name of the state whose shape a rollout's status has. */
export const LOOKS: Record<RolloutView["status"], string> = {
  running: "running",
  paused: "stopped",
  awaiting_approval: "pending",
  completing: "running",
  completed: "completed",
  rolled_back: "failed",
  superseded: "cancelled",
};

export function actionsOf(status: RolloutView["status"]): RolloutAction[] {
  return ACTIONS[status] ?? [];
}

export function stepText(step: Pick<RolloutView["steps"][number], "kind" | "weight">): string {
  return step.kind === "weight" ? `${step.weight} %` : step.kind;
}
