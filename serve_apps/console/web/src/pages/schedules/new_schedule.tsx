/** A new schedule: when, what runs, and the moments that come of it. */
import { useMemo, useState } from "preact/hooks";
import { send } from "../../access/key";
import { useRight } from "../../access/may";
import { ApiError, api, problemOf } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { ScheduleCheck, ScheduleView } from "../../api/types";
import { link, navigate, query } from "../../router";
import { AsCode } from "../../ui/as_code";
import { now } from "../../ui/clock";
import { moment, shortId, until, wallClock } from "../../ui/format";
import { PageHead } from "../../ui/parts";
import { useChecked } from "../new_job/checked";
import type { Draft as Upload } from "../new_job/draft";
import { isSmall } from "../new_job/dry_run";
import { useDropped } from "../new_job/dropped";
import { example } from "../new_job/example";
import { FormEnd } from "../new_job/form_end";
import { sourceOf } from "../new_job/source";
import { DropZone, Field, Preview, ScriptErrors, UploadFields } from "../new_job/upload_fields";
import { codeOf, EMPTY, requestOf, type ScheduleDraft, TIMES } from "./draft";

const SHOWN = 5;
const OVERLAPS: [ScheduleView["overlap"], string][] = [
  ["skip", "make no job"],
  ["queue", "let one wait for its end"],
  ["cancel_previous", "cancel it, and make the new one"],
];

type Change = (values: Partial<ScheduleDraft>) => void;
type Complaint = (field: string) => string | undefined;

export function NewSchedulePage() {
  const [draft, setDraft] = useState<ScheduleDraft>(beginning);
  const [error, setError] = useState<unknown>();
  const [isSending, setSending] = useState(false);
  const change: Change = (values) => {
    setError(undefined);
    setDraft((before) => ({ ...before, ...values }));
  };
  const changeUpload = (values: Partial<Upload>) => {
    setError(undefined);
    setDraft((before) => ({ ...before, upload: { ...before.upload, ...values } }));
  };
  const take = async (file: File) => changeUpload(await sourceOf({ file }, draft.upload));
  useDropped(async (given) => {
    const upload = { ...draft.upload, ...(await sourceOf(given, draft.upload)) };
    change({ source: "upload", upload });
  });
  const checked = useChecked<ScheduleDraft, ScheduleCheck>(draft, askedOf, "/mlops/schedules?dry_run=true");
  const wrong = error instanceof ApiError ? error : checked.error;
  const complaint: Complaint = (field) => wrong?.of(field) ?? wrong?.of(`train.${field}`) ?? wrong?.of(`schedule.${field}`);
  const right = useRight("submit");
  const store = async (event: Event) => {
    event.preventDefault();
    if (isSending) return;
    setSending(true);
    setError(undefined);
    try {
      navigate(link("schedules", await created(draft)));
    } catch (failure) {
      setError(failure);
      setSending(false);
    }
  };
  return (
    <>
      <PageHead above={<a href={link("schedules")}>Schedules</a>} title="New schedule" />
      <form class="new-job-form" onSubmit={(event) => void store(event)} noValidate>
        <div>
          <Times draft={draft} change={change} complaint={complaint} />
          <Moments found={checked.found} />
          <fieldset>
            <legend>What runs</legend>
            <div class="choices">
              <label>
                <input type="radio" name="source" checked={draft.source === "upload"} onChange={() => change({ source: "upload" })} />
                A script or a project
              </label>
              <label>
                <input type="radio" name="source" checked={draft.source === "job"} onChange={() => change({ source: "job" })} />
                A job again, with its locked packages
              </label>
            </div>
          </fieldset>
          {draft.source === "job" && (
            <JobField draft={draft} change={change} error={complaint("rerun") ?? (wrong?.status === 404 ? wrong.message : undefined)} />
          )}
          {draft.source === "upload" && <DropZone file={draft.upload.file} onFile={(file) => void take(file)} />}
          <ScriptErrors error={wrong} />
          {draft.source === "upload" && <Preview draft={draft.upload} />}
          {draft.source === "upload" && draft.upload.file && (
            <UploadFields draft={draft.upload} change={changeUpload} complaint={complaint} />
          )}
          {draft.source === "upload" && !draft.upload.file && (
            <p class="muted">
              Nothing at hand?{" "}
              <button type="button" class="as-link" onClick={() => void take(example())}>
                Take the example
              </button>
              , a classifier on made-up data.
            </p>
          )}
        </div>
        <div class="form-side">
          {checked.found && checked.found.notes.length > 0 && (
            <ul class="muted">
              {checked.found.notes.map((note) => (
                <li key={note}>{note}</li>
              ))}
            </ul>
          )}
          <FormEnd error={error} isSending={isSending} right={right} action="Create the schedule" />
          <AsCode {...codeOf(draft)} />
        </div>
      </form>
    </>
  );
}

/** Begins with the browser's time zone, and with the job of the address. */
function beginning(): ScheduleDraft {
  const job = query.value.get("job") ?? "";
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  return { ...EMPTY, timezone: timeZone || EMPTY.timezone, job, source: job ? "job" : "upload" };
}

/** The request of a check; a large project is checked when it is sent. */
function askedOf(draft: ScheduleDraft) {
  const withFile = draft.source === "upload" && draft.upload.file;
  return requestOf(withFile && !isSmall(draft.upload) ? { ...draft, upload: EMPTY.upload } : draft);
}

async function created(draft: ScheduleDraft): Promise<string> {
  const { body, headers } = requestOf(draft);
  const response = await send("/mlops/schedules", { method: "POST", headers, body });
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw new ApiError(response.status, problemOf(answer, response));
  return (answer as ScheduleView).schedule_id;
}

function Times({ draft, change, complaint }: { draft: ScheduleDraft; change: Change; complaint: Complaint }) {
  const zones = useMemo(() => Intl.supportedValuesOf("timeZone"), []);
  return (
    <fieldset>
      <legend>When</legend>
      <div class="field-row">
        <Field label="Name" name="name" error={complaint("name")}>
          <input id="name" value={draft.name} onInput={(event) => change({ name: event.currentTarget.value })} />
        </Field>
        <Field label="Cron expression" name="cron" note="minute, hour, day of month, month, day of week" error={complaint("cron")}>
          <input id="cron" value={draft.cron} onInput={(event) => change({ cron: event.currentTarget.value })} />
        </Field>
        <Field label="Time zone" name="timezone" error={complaint("timezone")}>
          <input id="timezone" list="zones" value={draft.timezone} onInput={(event) => change({ timezone: event.currentTarget.value })} />
          <datalist id="zones">
            {zones.map((zone) => (
              <option key={zone} value={zone} />
            ))}
          </datalist>
        </Field>
      </div>
      <div class="chips" role="group" aria-label="Often wanted times">
        {TIMES.map(([label, cron]) => (
          <button key={cron} type="button" class="chip" aria-pressed={draft.cron.trim() === cron} onClick={() => change({ cron })}>
            {label}
          </button>
        ))}
      </div>
      <details class="preview">
        <summary>If a job still runs, or the platform did not</summary>
        <div class="field-row">
          <Field label="While its last job runs" name="overlap" error={complaint("overlap")}>
            <select id="overlap" value={draft.overlap} onChange={(event) => change({ overlap: event.currentTarget.value as ScheduleView["overlap"] })}>
              {OVERLAPS.map(([value, label]) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          </Field>
          <Field label="Catch up, seconds" name="catch-up" note="An older moment is missed." error={complaint("catch_up_seconds")}>
            <input id="catch-up" inputMode="numeric" value={draft.catchUp} onInput={(event) => change({ catchUp: event.currentTarget.value })} />
          </Field>
          <Field label="Jitter, seconds" name="jitter" note="Jobs come up to so much later." error={complaint("jitter_seconds")}>
            <input id="jitter" inputMode="numeric" value={draft.jitter} onInput={(event) => change({ jitter: event.currentTarget.value })} />
          </Field>
        </div>
      </details>
    </fieldset>
  );
}

/** The first moments, in the schedule's own time. */
function Moments({ found }: { found: ScheduleCheck | undefined }) {
  if (!found) return null;
  return (
    <section class="dry-run" aria-labelledby="moments">
      <h2 id="moments">Next jobs</h2>
      {!found.next_runs.length && <p>None: this moment never comes.</p>}
      <ol class="moments">
        {found.next_runs.slice(0, SHOWN).map((at) => (
          <li key={at}>
            <time class="number" dateTime={at} title={`${moment(at)} on this machine`}>
              {wallClock(at)}
            </time>{" "}
            <span class="muted">{until(at, now.value)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function JobField({ draft, change, error }: { draft: ScheduleDraft; change: Change; error: string | undefined }) {
  const { data } = usePoll("newest jobs", (call) => api.GET("/mlops/training/jobs", { ...call, params: { query: { status: "completed", limit: 20 } } }), 0);
  return (
    <Field label="Job" name="job" note="Its id. It may be deleted later." error={error}>
      <input id="job" list="jobs" placeholder="job_…" value={draft.job} onInput={(event) => change({ job: event.currentTarget.value })} />
      <datalist id="jobs">
        {data?.jobs.map((job) => (
          <option key={job.job_id} value={job.job_id}>
            {job.model_name ?? job.experiment_name}, {job.script_name}, {shortId(job.job_id)}
          </option>
        ))}
      </datalist>
    </Field>
  );
}
