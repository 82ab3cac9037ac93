import { expect, test } from "vitest";
import { actionsOf, effectOf, stepText } from "../src/pages/model/rollout_text";

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

test("an action says what it does before it is done", () => {
  expect(effectOf("promote", { candidate: "4", alias: "champion" })).toContain("Version 4 gets all requests now, and the alias champion moves to it");
  expect(effectOf("promote", { candidate: "4", alias: null })).not.toContain("alias");
  expect(effectOf("abort", { candidate: "4", alias: null })).toBe(effectOf("reject", { candidate: "4", alias: null }));
});
