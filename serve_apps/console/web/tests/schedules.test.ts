import { describe, expect, test } from "vitest";
import { EMPTY as NO_UPLOAD } from "../src/pages/new_job/draft";
import { codeOf, EMPTY, requestOf } from "../src/pages/schedules/draft";
import { stateOf } from "../src/pages/schedules/outcome";
import { until, wallClock } from "../src/ui/format";

const NOW = Date.parse("2026-03-29T00:00:00Z");

describe("moments of a schedule", () => {
  test("are shown in the schedule's own time", () => {
    expect(wallClock("2026-03-29T03:00:00+02:00")).toBe("2026-03-29 03:00");
  });

  test.each([
    ["2026-03-28T23:59:00Z", "now"],
    ["2026-03-29T00:00:12Z", "in 12 s"],
    ["2026-03-29T03:00:00+02:00", "in 1 h"],
    ["2026-04-03T00:30:00Z", "in 5 d"],
  ])("%s", (iso, text) => expect(until(iso, NOW)).toBe(text));
});

describe("what became of a moment", () => {
  test.each([
    [{ outcome: "submitted", job_status: "running" }, "running", undefined],
    [{ outcome: "submitted", job_status: null }, "stopped", "job deleted"],
    [{ outcome: "waiting", job_status: null }, "queued", "waiting"],
    [{ outcome: "skipped", job_status: null }, "cancelled", "skipped"],
    [{ outcome: "refused", job_status: null }, "failed", "refused"],
  ] as const)("%o", (run, state, word) => expect(stateOf(run)).toEqual({ state, word }));
});

describe("a new schedule", () => {
  const upload = { ...NO_UPLOAD, file: new File(["print(1)"], "train.py"), script: "print(1)", experiment: "churn", model: "churn" };
  const draft = { ...EMPTY, name: "weekly", cron: "0 6 * * 1", timezone: "Europe/Berlin", overlap: "queue", jitter: "60", upload } as const;

  test("is sent with its upload", () => {
    expect(JSON.parse(requestOf(draft).body as string)).toEqual({
      name: "weekly",
      cron: "0 6 * * 1",
      timezone: "Europe/Berlin",
      overlap: "queue",
      jitter_seconds: 60,
      train: { script_content: "print(1)", script_name: "train.py", experiment_name: "churn", model_name: "churn" },
    });
  });

  test("of a project is a form", () => {
    const form = requestOf({ ...draft, upload: { ...upload, script: undefined } }).body as FormData;
    expect(JSON.parse(form.get("schedule") as string)).toMatchObject({ name: "weekly", overlap: "queue" });
    expect(form.get("entrypoint")).toBe("train.py");
  });

  test("of a job names it alone", () => {
    const again = { ...draft, source: "job", job: " job_A " } as const;
    expect(JSON.parse(requestOf(again).body as string)).toMatchObject({ rerun: "job_A" });
    expect(JSON.parse(requestOf(again).body as string)).not.toHaveProperty("train");
    expect(codeOf(again).cli).toMatch(/schedule create weekly .* --job job_A$/);
  });

  test("shows itself as code", () => {
    const code = codeOf(draft);
    expect(code.cli).toMatch(/schedule create weekly --cron '0 6 \* \* 1' --timezone Europe\/Berlin --overlap queue --jitter 60 -- train train.py/);
    expect(code.python).toContain('client.schedules.create("weekly", "train.py", cron="0 6 * * 1"');
    expect(code.curl).toContain("-F script=@train.py");
    expect(code.curl).toContain(`'schedule={"name":"weekly"`);
  });
});
