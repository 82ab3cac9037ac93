/** A new schedule, as its form has it, and the same as a request and as code. Pure. */
import type { ScheduleView } from "../../api/types";
import { command, curl, literal, python } from "../../ui/snippets";
import {
  argument,
  type Draft as Upload,
  EMPTY as NO_UPLOAD,
  fileOf,
  formCurl,
  formOf,
  jsonOf,
  optionsOf,
  type Request,
  scriptOf,
  trainWordsOf,
} from "../new_job/draft";

export interface ScheduleDraft {
  name: string;
  cron: string;
  timezone: string;
  overlap: ScheduleView["overlap"];
  /** Seconds. */
  catchUp: string;
  /** Seconds. */
  jitter: string;
  /** What runs: an upload, or a job again. */
  source: "upload" | "job";
  upload: Upload;
  job: string;
}

export const EMPTY: ScheduleDraft = {
  name: "nightly",
  cron: "0 3 * * *",
  timezone: "UTC",
  overlap: "skip",
  catchUp: "86400",
  jitter: "0",
  source: "upload",
  upload: NO_UPLOAD,
  job: "",
};

/** Often wanted times. */
export const TIMES: [string, string][] = [
  ["hourly", "0 * * * *"],
  ["nightly", "0 3 * * *"],
  ["on weekdays", "0 6 * * 1-5"],
  ["on Mondays", "0 6 * * 1"],
  ["monthly", "0 3 1 * *"],
];

/** The fields other than what runs. Those at their default are left out. */
export function timesOf(draft: ScheduleDraft): Record<string, unknown> {
  return {
    name: draft.name,
    cron: draft.cron.trim(),
    ...(draft.timezone.trim() !== EMPTY.timezone && { timezone: draft.timezone.trim() }),
    ...(draft.overlap !== EMPTY.overlap && { overlap: draft.overlap }),
    ...(draft.catchUp !== EMPTY.catchUp && { catch_up_seconds: Number(draft.catchUp) }),
    ...(draft.jitter !== EMPTY.jitter && { jitter_seconds: Number(draft.jitter) }),
  };
}

/** The request; without what runs where nothing is chosen yet. */
export function requestOf(draft: ScheduleDraft): Request {
  const times = timesOf(draft);
  if (draft.source === "job") return jsonOf({ ...times, ...(draft.job.trim() && { rerun: draft.job.trim() }) });
  if (!draft.upload.file) return jsonOf(times);
  if (draft.upload.script !== undefined) return jsonOf({ ...times, train: scriptOf(draft.upload) });
  const form = formOf(draft.upload);
  form.append("schedule", JSON.stringify(times));
  return { body: form, headers: {} };
}

export function codeOf(draft: ScheduleDraft): { cli: string; python: string; curl: string } {
  const { name, ...times } = timesOf(draft);
  const words = ["schedule", "create", draft.name, ...Object.entries(times).flatMap(([field, value]) => [flagOf(field), String(value)])];
  const options = Object.entries(times);
  if (draft.source === "job") {
    const job = draft.job.trim();
    const given = [...options, ["rerun", job] as [string, unknown]].map(argument);
    return {
      cli: command(...words, "--job", job),
      python: python(`client.schedules.create(${[literal(name), ...given].join(", ")})`),
      curl: curl("POST", "/mlops/schedules", { name, ...times, rerun: job }),
    };
  }
  const given = [...options, ...optionsOf(draft.upload)].map(argument);
  return {
    cli: command(...words, "--", ...trainWordsOf(draft.upload)),
    python: python(`client.schedules.create(${[literal(name), literal(fileOf(draft.upload)), ...given].join(", ")})`),
    curl: formCurl("/mlops/schedules", draft.upload, { schedule: { name, ...times } }),
  };
}

/** "catch_up_seconds" → "--catch-up". */
function flagOf(field: string): string {
  return `--${field.replace(/_seconds$/, "").replaceAll("_", "-")}`;
}
