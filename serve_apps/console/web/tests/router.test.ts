import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { pathname: "/console/jobs", search: "", origin: "http://127.0.0.1:8000" });
vi.stubGlobal("addEventListener", () => {});
const { link, match } = await import("../src/router");

test("paths are matched part by part, and decoded", () => {
  expect(match("jobs/:", "/jobs/job_1")).toEqual(["job_1"]);
  expect(match("models/:/:", "/models/a%2Fb/3")).toEqual(["a/b", "3"]);
  expect(match("jobs/:", "/jobs")).toBeUndefined();
  expect(match("jobs/:", "/models/x")).toBeUndefined();
  expect(match("", "/")).toEqual([]);
  expect(match("jobs/:", "/jobs/%E0%A4%A")).toEqual(["%E0%A4%A"]);
});

test("links are encoded", () => expect(link("models", "a/b", "3")).toBe("/console/models/a%2Fb/3"));
