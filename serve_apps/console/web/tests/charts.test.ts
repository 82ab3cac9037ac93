import { describe, expect, it, vi } from "vitest";

vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener: () => undefined }));
vi.stubGlobal("devicePixelRatio", 1);
vi.stubGlobal("location", { origin: "http://here", pathname: "/console/", search: "" });
vi.stubGlobal("localStorage", { getItem: () => null, removeItem: () => undefined, setItem: () => undefined });
vi.stubGlobal("document", { documentElement: { dataset: {} }, addEventListener: () => undefined });
vi.stubGlobal("addEventListener", () => undefined);
vi.stubGlobal("navigator", { language: "en" });

const { axisTime } = await import("../src/charts/axis");
const { compared, sinceOf } = await import("../src/charts/series");
const { toneOf } = await import("../src/charts/tones");
const { count, milliseconds, perSecond } = await import("../src/charts/units");

const series = (version: string, starts: string[], figures: (number | null)[]) =>
  ({ model_version: version, points: starts.map((start, index) => ({ start, latency_p95_ms: figures[index] })) }) as never;

describe("charts", () => {
  it("say days at midnight and hours else", () => {
    const noon = new Date(2026, 10, 30, 12, 5).getTime() / 1000;
    expect(axisTime(noon)).toBe("30 Nov 12:05");
    expect(axisTime(noon, 300)).toBe("12:05");
    expect(axisTime(noon, 86_400)).toBe("30 Nov");
    expect(axisTime(new Date(2026, 10, 30).getTime() / 1000, 3600)).toBe("30 Nov");
  });

  it("say units that fit the size", () => {
    expect([milliseconds(0.8123), milliseconds(45), milliseconds(1250)]).toEqual(["0.812 ms", "45 ms", "1.25 s"]);
    expect([perSecond(0.5), perSecond(12_345)]).toEqual(["0.5/s", "12\u202f345/s"]);
    expect([count(1234), count(0.333)]).toEqual(["1\u202f234", "0.333"]);
  });

  it("ask from a whole minute on, so that polls of a minute are equal", () => {
    const now = Date.parse("2026-11-30T12:00:42Z");
    expect(sinceOf("1h", now)).toBe("2026-11-30T11:00:00.000Z");
    expect(sinceOf("1h", now + 15_000)).toBe("2026-11-30T11:00:00.000Z");
  });

  it("put versions on one time axis, with gaps where one has no figure", () => {
    const starts = ["2026-11-30T12:00:00Z", "2026-11-30T12:01:00Z"];
    const x = starts.map((start) => Date.parse(start) / 1000);
    const lines = compared([series("1", starts, [5, null]), series("2", starts.slice(1), [7])], "latency_p95_ms", x);
    expect(lines.map((line) => [line.label, line.values])).toEqual([
      ["v1", [5, null]],
      ["v2", [null, 7]],
    ]);
  });

  it("give neighbouring versions different colours", () => {
    for (let version = 1; version < 12; version += 1) expect(toneOf(String(version))).not.toBe(toneOf(String(version + 1)));
    expect(toneOf("2026-a")).toBe(toneOf("2026-a"));
  });
});

const { grouped, stepsOf, valuesAt } = await import("../src/pages/job/metrics");

describe("curves of a job", () => {
  const curve = (name: string, ...points: [number, number][]) => ({ name, points: points.map(([step, value]) => ({ step, value, at: "" })) });

  it("are drawn together where they are of one thing", () => {
    const groups = grouped([curve("loss"), curve("val_loss"), curve("accuracy"), curve("train/accuracy")]);
    expect(groups.map(([title, members]) => [title, members.map((item) => item.name)])).toEqual([
      ["loss", ["loss", "val_loss"]],
      ["accuracy", ["accuracy", "train/accuracy"]],
    ]);
  });

  it("share their steps", () => {
    const [first, second] = [curve("a", [0, 1], [2, 3]), curve("b", [1, 5], [2, 6])];
    const steps = stepsOf([first, second]);
    expect(steps).toEqual([0, 1, 2]);
    expect(valuesAt(second, steps)).toEqual([null, 5, 6]);
  });
});
