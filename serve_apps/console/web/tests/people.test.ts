import { workspaceQuery } from "../src/ui/run_workspace";
import { describe, expect, test } from "vitest";
import type { ReportView, SweepRow, SweepView } from "../src/api/types";
import { stateOf as keyState } from "../src/pages/admin/key_state";
import { sectionsOf, unitOf } from "../src/pages/admin/sections";
import { EMPTY, codeOf, fieldsOf } from "../src/pages/new_job/draft";
import { entrypointOf, tarOf } from "../src/pages/new_job/folder";
import { countOf, NO_SWEEP, parametersOf, shapeOf, sweepOf } from "../src/pages/new_job/sweep_fields";
import { codesOf } from "../src/pages/playground/code";
import { truthOf } from "../src/pages/playground/truth";
import { axesOf, isChosen, placeOf, ranked, readBrushes, written } from "../src/pages/sweep/coordinates";
import { summaryOf } from "../src/ui/report_summary";

function row(id: string, parameters: Record<string, string>, metrics: Record<string, unknown> = {}, status = "completed"): SweepRow {
  return { job_id: id, parameters, metrics, status, reason: null, message: null, mlflow_run_id: null, model_version: null, duration_seconds: 1 } as SweepRow;
}

const ROWS = [
  row("a", { lr: "0.1", kind: "tree" }, { auc: 0.5 }),
  row("b", { lr: "0.3", kind: "forest" }, { auc: 0.9 }),
  row("c", { lr: "0.2", kind: "tree" }, {}, "running"),
];
const SWEEP = { parameters: { lr: ["0.1", "0.2", "0.3"], kind: ["tree", "forest"], one: ["1"] }, metric: "auc", mode: "max", jobs: ROWS } as unknown as SweepView;

describe("a sweep's coordinates", () => {
  const axes = axesOf(SWEEP);

  test("are the varied parameters and the metrics", () => {
    expect(axes.map((axis) => axis.name)).toEqual(["lr", "kind", "auc"]);
    expect(axes.map((axis) => placeOf(ROWS[1] as SweepRow, axis))).toEqual([1, 1, 1]);
    expect(placeOf(ROWS[2] as SweepRow, axes[2]!)).toBeUndefined();
    expect(placeOf(ROWS[2] as SweepRow, axes[0]!)).toBeCloseTo(0.5);
  });

  test("put the best first", () => {
    expect(ranked(SWEEP).map((item) => item.job_id)).toEqual(["b", "a", "c"]);
    expect(ranked({ ...SWEEP, mode: "min" }).map((item) => item.job_id)).toEqual(["a", "b", "c"]);
  });

  test("choose by brushes, which the address keeps", () => {
    const brushes = { lr: [0.4, 1] as [number, number], kind: [0, 0] as [number, number] };
    expect(ROWS.filter((item) => isChosen(item, axes, brushes)).map((item) => item.job_id)).toEqual(["c"]);
    expect(readBrushes(written(brushes))).toEqual(brushes);
    expect(readBrushes("nonsense,x~a~b")).toEqual({});
  });
});

describe("a sweep in the form", () => {
  const sweep = { ...NO_SWEEP, values: "LR = 0.1, 0.2\nDEPTH: 3,5,7", metric: "auc", best: true };

  test("counts its jobs", () => {
    expect(parametersOf(sweep.values)).toEqual({ LR: ["0.1", "0.2"], DEPTH: ["3", "5", "7"] });
    expect([countOf(sweep), shapeOf(sweep), countOf(NO_SWEEP)]).toEqual([6, "2 × 3", 1]);
  });

  test("is a field of the upload, and code", () => {
    expect(sweepOf(NO_SWEEP)).toBeUndefined();
    const draft = { ...EMPTY, file: new File(["1"], "t.py"), script: "1", experiment: "e", sweep };
    expect(fieldsOf(draft).sweep).toEqual({ parameters: parametersOf(sweep.values), metric: "auc", register: "best" });
    expect(codeOf(draft).cli).toContain("--sweep LR=0.1,0.2 --sweep DEPTH=3,5,7 --metric auc --register-best");
    expect(codeOf(draft).python).toContain('metric="auc", register_best=True');
  });
});

describe("a dropped folder", () => {
  test("names its script", () => {
    expect(entrypointOf(["lib/a.py", "zz.py", "train.py"])).toBe("train.py");
    expect(entrypointOf(["lib/a.py", "fit.py"])).toBe("fit.py");
    expect(entrypointOf([])).toBe("train.py");
  });

  test("is a tar archive, with long names", () => {
    const name = `${"deep/".repeat(25)}x.py`;
    const tar = tarOf([
      { path: "a.py", content: new TextEncoder().encode("print(1)") },
      { path: name, content: new Uint8Array(0) },
    ]);
    const text = new TextDecoder().decode(tar);
    expect(tar.length % 512).toBe(0);
    expect(text.startsWith("a.py\0")).toBe(true);
    expect(text.slice(512, 520)).toBe("print(1)");
    expect(text).toContain(`139 path=${name}\n`);
    const sum = tar.slice(0, 512).reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 32 : byte), 0);
    expect(parseInt(text.slice(148, 154), 8)).toBe(sum);
  });
});

describe("the playground", () => {
  const signature = { model_name: "m", model_version: "1", inputs: [{ name: "months", type: "long", required: true }], tensors: [], params: [], example: null };
  const question = { name: "churn", version: "2", inputs: [{ months: 3 }], wantsShares: false, signature };

  test("shows its question in each language", () => {
    const code = codesOf(question);
    expect(code.more.map(([label]) => label)).toEqual(["httpx", "JavaScript", "Open Inference"]);
    const [httpx, script, triton] = code.more.map(([, text]) => text);
    expect(httpx).toContain('json={"model_name": "churn", "model_version": "2", "inputs": [{"months": 3}]}');
    expect(script).toContain('JSON.stringify({"model_name":"churn","model_version":"2","inputs":[{"months":3}]})');
    expect(triton).toContain('("months", "INT64", np.array([3], dtype="int64")),');
    expect(triton).toContain('client.infer("churn", tensors, model_version="2")');
  });

  test("has no Open Inference form for what its columns cannot carry", () => {
    expect(codesOf({ ...question, inputs: [[1]] }).more).toHaveLength(2);
    expect(codesOf({ ...question, inputs: [{ months: null }] }).more).toHaveLength(2);
  });

  test("reads true values", () => {
    expect([truthOf("1", 1), truthOf("no", 1), truthOf("1, 0", 2), truthOf("[1, 0]", 2)]).toEqual([1, "no", [1, 0], [1, 0]]);
    expect(() => truthOf("1", 2)).toThrow("give 2 values");
  });
});

test("settings are shown by section, leaf by leaf", () => {
  expect(sectionsOf({ auth: "local", jobs: { nice: 10, quotas: { default: { max_cpus: null } } } })).toEqual([
    ["platform", [["auth", "local"]]],
    ["jobs", [["jobs.nice", "10"], ["jobs.quotas.default.max_cpus", ""]]],
  ]);
});

test("large amounts have their unit", () => {
  expect([unitOf("max_log_bytes", "67108864"), unitOf("hsts_seconds", "7200"), unitOf("nice", "10"), unitOf("x_bytes", "null")]).toEqual(["64 MiB", "2 h", "", ""]);
});

test("keys are valid, revoked or expired", () => {
  const key = { revoked_at: null, expires_at: "2026-01-01T00:00:00Z" } as never;
  const at = Date.parse("2026-06-01T00:00:00Z");
  expect([keyState(key, at), keyState({ ...(key as object), expires_at: null } as never, at), keyState({ revoked_at: "x" } as never, at)]).toEqual(["stopped", "ready", "cancelled"]);
});

describe("a scanner's report", () => {
  const report = { subject: "script", tool: "bandit", state: "clean", findings: [], detail: null };

  test("is told in a few words", () => {
    const found = ["low", "high", "high"].map((severity) => ({ severity, what: "x", where: null }));
    const told = (changes: object) => summaryOf({ ...report, ...changes } as ReportView);
    expect(told({})).toBe("nothing found");
    expect(told({ state: "findings", findings: found })).toBe("2 high, 1 low");
    expect(told({ state: "not_run", detail: "bandit did not work." })).toBe("bandit did not work.");
  });
});

test("a run opens in its workspace, where MLflow has that name", () => {
  expect(workspaceQuery("team-a")).toBe("?workspace=team-a");
  expect([workspaceQuery("Team A"), workspaceQuery(undefined)]).toEqual(["", ""]);
});
