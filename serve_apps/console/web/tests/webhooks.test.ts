import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { origin: "http://127.0.0.1:8000", pathname: "/console/webhooks", search: "" });
vi.stubGlobal("addEventListener", vi.fn());
const { bodyOf, changesOf, codeOf, codeOfChanges, draftOf, EMPTY, pageOf, patternsOf } = await import("../src/pages/webhooks/draft");

const DRAFT = { ...EMPTY, name: "ci", url: "https://hooks.example.com/x", events: "job.*, alias.moved", models: "churn*" };

test("patterns are between spaces, commas and line breaks", () => {
  expect(patternsOf(" job.*, alias.moved\ntraffic.changed ")).toEqual(["job.*", "alias.moved", "traffic.changed"]);
});

test("a request leaves out what is at its default", () => {
  expect(bodyOf({ ...EMPTY, name: "ci", url: "https://a.example" })).toEqual({ name: "ci", url: "https://a.example" });
  expect(bodyOf(DRAFT)).toEqual({ name: "ci", url: "https://hooks.example.com/x", events: ["job.*", "alias.moved"], models: ["churn*"] });
});

test("the code says what the form says", () => {
  const { cli, python } = codeOf(DRAFT);
  expect(cli).toContain("webhooks create ci https://hooks.example.com/x --event 'job.*' --event alias.moved --model 'churn*'");
  expect(python).toContain('events=["job.*", "alias.moved"], models=["churn*"]');
});

test("an event leads to what it is about", () => {
  const of = (event_type: string, subject: string) => pageOf({ event_type, subject, data: { model_name: "churn" } });
  expect(of("job.failed", "job_1")).toBe("/console/jobs/job_1");
  expect(of("model_version.ready", "churn/3")).toBe("/console/models/churn/3");
  expect(of("alias.moved", "churn")).toBe("/console/models/churn");
  expect(of("batch.failed", "job_2")).toBe("/console/batches/job_2");
  expect(of("monitor.alert", "churn/3")).toBe("/console/models/churn/3");
  expect(of("rollout.rolled_back", "rollout_1")).toBe("/console/models/churn");
  expect(of("quota.reached", "default/ann")).toBeUndefined();
});

test("a change sends what was changed, and nothing else", () => {
  const webhook = { name: "ci", format: "standard", events: ["job.*"], models: ["churn*"], experiments: [], owners: [] } as never;
  const draft = draftOf(webhook);
  expect(draft).toMatchObject({ events: "job.*", models: "churn*", url: "" });
  expect(changesOf(webhook, draft)).toEqual({});
  const changes = changesOf(webhook, { ...draft, events: " ", models: "" });
  expect(changes).toEqual({ events: ["*"], models: [] });
  const { cli, curl } = codeOfChanges("ci", changes);
  expect(cli).toContain("webhooks update ci --event '*' --model ''");
  expect(curl).toContain('{"events":["*"],"models":[]}');
});
