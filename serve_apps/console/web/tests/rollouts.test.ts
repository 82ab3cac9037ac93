import { expect, test } from "vitest";
import { actionsOf, stepText } from "../src/pages/model/rollout_text";

test.each([
  ["running", ["pause", "promote", "abort"]],
  ["paused", ["resume", "promote", "abort"]],
  ["awaiting_approval", ["approve", "reject"]],
  ["completing", []],
  ["rolled_back", []],
] as const)("what can be done while it is %s", (status, actions) => expect(actionsOf(status)).toEqual(actions));

test("steps are told in words", () => {
  expect(stepText({ kind: "weight", weight: 2.5 })).toBe("2.5 %");
  expect(stepText({ kind: "shadow", weight: 0 })).toBe("shadow");
});
