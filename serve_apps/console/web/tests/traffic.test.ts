import { describe, expect, it } from "vitest";
import { added, argumentsOf, bodyOf, differences, type Draft, draftOf, fault, rebalanced, removed, tableText, wordsOf } from "../src/pages/model/draft";
import { literal } from "../src/ui/snippets";

const route = (target: string, weight: number, isAlias = false) => ({ target, weight, isAlias });
const weights = (routes: { weight: number }[]) => routes.map((item) => item.weight);
const draft = (part: Partial<Draft>): Draft => ({ routes: [route("3", 90), route("champion", 10, true)], shadow: [], stickyBy: "", stickyName: "", ...part });
const view = (part: object) => ({ model_name: "churn", revision: 3, updated_at: null, updated_by: null, routes: [], shadow: [], sticky: null, versions: [], ...part }) as never;

describe("weights", () => {
  it("sum to 100 whatever is moved", () => {
    const routes = [route("1", 60), route("2", 30), route("3", 10)];
    expect(weights(rebalanced(routes, 0, 20))).toEqual([20, 60, 20]);
    expect(weights(rebalanced(routes, 2, 100))).toEqual([0, 0, 100]);
    expect(weights(rebalanced([route("1", 100), route("2", 0), route("3", 0)], 0, 40))).toEqual([40, 30, 30]);
    for (const value of [0, 0.1, 33.3, 66.7, 99.9, 140, -3, Number.NaN]) {
      const sum = weights(rebalanced(routes, 1, value)).reduce((total, item) => total + item, 0);
      expect(sum).toBeCloseTo(100, 6);
    }
  });

  it("keep the figure that was typed", () => {
    expect(weights(rebalanced([route("1", 33.3), route("2", 33.3), route("3", 33.4)], 1, 12.5))[1]).toBe(12.5);
  });

  it("of a version alone are 100", () => {
    expect(weights(rebalanced([route("1", 100)], 0, 5))).toEqual([100]);
    expect(weights(removed([route("1", 70), route("2", 30)], 0))).toEqual([100]);
    expect(weights(added([], "1", false))).toEqual([100]);
    expect(weights(added([route("1", 100)], "2", false))).toEqual([100, 0]);
  });
});

describe("a draft", () => {
  it("has the table's shares in percent", () => {
    const routes = [
      { version: "3", alias: null, weight: 9 },
      { version: null, alias: "champion", weight: 1 },
    ];
    expect(draftOf(view({ routes, sticky: { header: "X-User", field: null } }))).toEqual(draft({ stickyBy: "header", stickyName: "X-User" }));
  });

  it("without a table begins with the version that answers", () => {
    const versions = [{ model_version: "4", alias: null, share: 1, shadow: false, status: "ready", replicas: 1 }];
    expect(draftOf(view({ versions })).routes).toEqual([route("4", 100)]);
  });

  it("is sent as the API takes it", () => {
    expect(bodyOf(draft({ shadow: ["5"], stickyBy: "field", stickyName: "params.user" }))).toEqual({
      routes: [
        { version: "3", weight: 90 },
        { alias: "champion", weight: 10 },
      ],
      shadow: ["5"],
      sticky: { field: "params.user" },
    });
  });

  it("is refused without an answer or a name", () => {
    expect(fault(draft({}))).toBeUndefined();
    expect(fault(draft({ routes: [] }))).toContain("One version");
    expect(fault(draft({ stickyBy: "header", stickyName: " " }))).toContain("header");
  });

  it("is printed as code", () => {
    const full = draft({ shadow: ["5"], stickyBy: "header", stickyName: "X-User" });
    expect(wordsOf("churn", full).join(" ")).toBe("traffic set churn 3=90 champion=10 --shadow 5 --sticky-header X-User");
    expect(argumentsOf(full, literal)).toBe('{"3": 90, "champion": 10}, shadow=["5"], sticky_header="X-User"');
  });
});

describe("before and after", () => {
  it("has a line for each target of either side", () => {
    const before = { routes: [{ version: "3", alias: null, weight: 1 }], shadow: ["5"], sticky: null };
    expect(differences(before, bodyOf(draft({})))).toEqual([
      { label: "v3", before: "100 %", after: "90 %" },
      { label: "champion", before: "—", after: "10 %" },
      { label: "copies", before: "v5", after: "—" },
    ]);
  });

  it("is told in a line", () => {
    expect(tableText(bodyOf(draft({ shadow: ["5"] })))).toBe("v3 90 %, champion 10 %, copies to v5");
    expect(tableText(null)).toBe("newest version");
  });
});
