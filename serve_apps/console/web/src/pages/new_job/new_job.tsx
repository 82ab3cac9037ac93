/** A new job: drop a script or a project, look at what it asks for, send it once. */
import { useRef, useState } from "preact/hooks";
import { send } from "../../access/key";
import { useRight } from "../../access/may";
import { ApiError, api, messageOf, problemOf, randomToken } from "../../api/client";
import { usePoll } from "../../api/poll";
import { link, navigate } from "../../router";
import { AsCode } from "../../ui/as_code";
import { bytes, plural } from "../../ui/format";
import { PageHead } from "../../ui/parts";
import { codeOf, type Draft, EMPTY, requestOf } from "./draft";
import { useDropped } from "./dropped";
import { DryRun, useDryRun } from "./dry_run";
import { example } from "./example";
import { sourceOf } from "./source";
import { countOf, shapeOf } from "./sweep_fields";
import { DropZone, Field, Preview, ScriptErrors, UploadFields } from "./upload_fields";

export function NewJobPage() {
  const [draft, setDraft] = useState<Draft>(EMPTY);
  const [error, setError] = useState<unknown>();
  const [isSending, setSending] = useState(false);
  // One key for one request: a second click, or a click after a broken connection, makes no second job.
  const sent = useRef<{ draft: Draft; key: string }>();
  const { data } = usePoll("overview", (call) => api.GET("/mlops/overview", call), 0);

  const change = (values: Partial<Draft>) => {
    setError(undefined);
    setDraft((before) => ({ ...before, ...values }));
  };
  const take = async (file: File) => change(await sourceOf({ file }, draft));
  useDropped(async (given) => change(await sourceOf(given, draft)));
  const changeSweep = (values: Partial<Draft["sweep"]>) => change({ sweep: { ...draft.sweep, ...values } });
  const send = async (event: Event) => {
    event.preventDefault();
    if (isSending) return;
    setSending(true);
    setError(undefined);
    if (sent.current?.draft !== draft) sent.current = { draft, key: randomToken() };
    try {
      navigate(await upload(draft, sent.current.key));
    } catch (failure) {
      setError(failure);
      setSending(false);
    }
  };
  const checked = useDryRun(draft);
  const right = useRight("submit");
  const count = countOf(draft.sweep);
  const wrong = error instanceof ApiError ? error : checked.error;
  const complaint = (field: string) => wrong?.of(field);
  const complaintBelow = (field: string) => wrong?.problem.errors?.find((item) => item.field.startsWith(field))?.detail;
  return (
    <>
      <PageHead above={<a href={link("jobs")}>Jobs</a>} title="New job" />
      <form class="new-job-form" onSubmit={(event) => void send(event)} noValidate>
        <div>
          <DropZone file={draft.file} onFile={(file) => void take(file)} />
          <ScriptErrors error={wrong} />
          <Preview draft={draft} />
          {draft.file && (
            <>
              <UploadFields draft={draft} change={change} complaint={complaint} />
              <details class="preview" open={count > 1 || undefined}>
                <summary>Sweep: one job for each combination of values</summary>
                <fieldset>
                  <Field label="Values" name="sweep" note="NAME = value, value: one parameter a line. The script finds them in its environment variables." error={complaintBelow("sweep")}>
                    <textarea
                      id="sweep"
                      rows={3}
                      placeholder={"LR = 0.01, 0.1\nDEPTH = 3, 5, 7"}
                      value={draft.sweep.values}
                      onInput={(event) => changeSweep({ values: event.currentTarget.value })}
                    />
                  </Field>
                  <div class="field-row">
                    <Field label="Deciding metric" name="metric" error={undefined}>
                      <input id="metric" placeholder="accuracy" value={draft.sweep.metric} onInput={(event) => changeSweep({ metric: event.currentTarget.value })} />
                    </Field>
                    <Field label="The best is" name="mode" error={undefined}>
                      <select id="mode" value={draft.sweep.mode} onChange={(event) => changeSweep({ mode: event.currentTarget.value as "max" | "min" })}>
                        <option value="max">the largest</option>
                        <option value="min">the smallest</option>
                      </select>
                    </Field>
                  </div>
                  <label class="check">
                    <input type="checkbox" checked={draft.sweep.best} onChange={(event) => changeSweep({ best: event.currentTarget.checked })} />
                    Register only the best
                  </label>
                </fieldset>
              </details>
              {draft.sweep.values.trim() && (
                <p class="number">
                  A {shapeOf(draft.sweep)} sweep: <b>{plural(count, "job")}</b>
                </p>
              )}
            </>
          )}
          {!draft.file && (
            <p class="muted">
              Nothing at hand?{" "}
              <button type="button" class="as-link" onClick={() => void take(example())}>
                Take the example
              </button>
              , a classifier on made-up data.{data && ` A script has ${bytes(data.limits.max_script_bytes)} at most.`}
            </p>
          )}
        </div>
        {draft.file && (
          <div class="form-side">
            <DryRun found={checked.found} />
            {error !== undefined && (
              <p class="field-error" role="alert">
                {summaryOf(error)}
              </p>
            )}
            <div class="form-end">
              <button type="submit" class="primary" aria-disabled={isSending} disabled={!right.isGiven} title={right.why}>
                {isSending ? "Sending…" : count > 1 ? `Start ${count} jobs` : "Start the job"}
              </button>
            </div>
            <AsCode {...codeOf(draft)} />
          </div>
        )}
      </form>
    </>
  );
}

/** One sentence at the button; what is wrong with a field is beside the field. */
export function summaryOf(error: unknown): string {
  const wrong = error instanceof ApiError ? (error.problem.errors?.length ?? 0) : 0;
  if (!wrong) return messageOf(error);
  return `Nothing was sent: ${wrong === 1 ? "one thing above is" : `${wrong} things above are`} wrong.`;
}

/** Send the form. Returns the page of what it made. */
async function upload(draft: Draft, key: string): Promise<string> {
  const { body, headers } = requestOf(draft);
  const response = await send("/mlops/training/upload", { method: "POST", headers: { ...headers, "Idempotency-Key": key }, body });
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw new ApiError(response.status, problemOf(answer, response));
  const made = answer as { job_id: string } | { sweep_id: string };
  return "sweep_id" in made ? link("sweeps", made.sweep_id) : link("jobs", made.job_id);
}
