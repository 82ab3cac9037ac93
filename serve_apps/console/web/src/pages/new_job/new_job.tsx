/** A new job: drop a script or a project, look at what it asks for, send it once. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { send } from "../../access/key";
import { useRight } from "../../access/may";
import { ApiError, api, messageOf, problemOf, randomToken } from "../../api/client";
import { usePoll } from "../../api/poll";
import { link, navigate } from "../../router";
import { AsCode } from "../../ui/as_code";
import { Code } from "../../ui/code";
import { bytes, plural } from "../../ui/format";
import { PageHead } from "../../ui/parts";
import { ARCHIVE, codeOf, type Draft, EMPTY, nameOf, requestOf } from "./draft";
import { dropped } from "./dropped";
import { DryRun, useDryRun } from "./dry_run";
import { EXAMPLE, EXAMPLE_NAME } from "./example";
import { entrypointOf, filesBelow, packed } from "./folder";
import { countOf, shapeOf } from "./sweep_fields";

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
  const take = async (file: File) => {
    setError(undefined);
    const name = nameOf(file.name);
    const script = ARCHIVE.test(file.name) ? undefined : await file.text();
    change({ file, script, experiment: draft.experiment || name, model: draft.model || name });
  };
  const takeFolder = async (folder: FileSystemDirectoryEntry) => {
    const files = await filesBelow(folder);
    const file = await packed(folder.name, files);
    setError(undefined);
    const name = nameOf(file.name);
    change({ file, script: undefined, entrypoint: entrypointOf(files.map((item) => item.path)), experiment: draft.experiment || name, model: draft.model || name });
  };
  const given = dropped.value;
  useEffect(() => {
    if (!given) return;
    dropped.value = undefined;
    if (given.folder) void takeFolder(given.folder);
    else if (given.file) void take(given.file);
  }, [given]);
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
        <DropZone file={draft.file} onFile={(file) => void take(file)} />
        <ScriptErrors error={wrong} />
        {draft.script !== undefined && (
          <details class="preview">
            <summary>Script</summary>
            <Code text={draft.script} isPython={!draft.file?.name.endsWith(".ipynb")} />
          </details>
        )}
        {draft.file && (
          <>
            <fieldset>
              <legend>What</legend>
              {draft.script === undefined && (
                <Field label="Script in the project" name="entrypoint" error={complaint("entrypoint")}>
                  <input id="entrypoint" value={draft.entrypoint} onInput={(event) => change({ entrypoint: event.currentTarget.value })} />
                </Field>
              )}
              <Field label="Model" name="model" note="A version is registered under this name. Empty: none." error={complaint("model_name")}>
                <input id="model" value={draft.model} onInput={(event) => change({ model: event.currentTarget.value })} />
              </Field>
              <Field label="Experiment" name="experiment" error={complaint("experiment_name")}>
                <input id="experiment" value={draft.experiment} onInput={(event) => change({ experiment: event.currentTarget.value })} />
              </Field>
              <label class="check">
                <input type="checkbox" checked={draft.deploy} onChange={(event) => change({ deploy: event.currentTarget.checked })} />
                Deploy the version: it answers at once
              </label>
            </fieldset>
            <fieldset>
              <legend>With</legend>
              <div class="field-row">
                <Field label="CPUs" name="cpus" error={complaint("resources.cpus")}>
                  <input id="cpus" inputMode="decimal" value={draft.cpus} onInput={(event) => change({ cpus: event.currentTarget.value })} />
                </Field>
                <Field label="Memory" name="memory" error={complaint("resources.memory")}>
                  <input id="memory" value={draft.memory} onInput={(event) => change({ memory: event.currentTarget.value })} />
                </Field>
                <Field label="Timeout, seconds" name="timeout" error={complaint("timeout_seconds")}>
                  <input id="timeout" inputMode="numeric" value={draft.timeout} onInput={(event) => change({ timeout: event.currentTarget.value })} />
                </Field>
              </div>
              <Field
                label="Requirements"
                name="requirements"
                note="One a line. Empty: those that the script or the project names."
                error={complaint("requirements")}
              >
                <textarea id="requirements" rows={3} placeholder="lightgbm>=4" value={draft.requirements} onInput={(event) => change({ requirements: event.currentTarget.value })} />
              </Field>
              <div class="field-row">
                <Field label="Arguments" name="args" note="One a line." error={complaint("args")}>
                  <textarea id="args" rows={2} value={draft.args} onInput={(event) => change({ args: event.currentTarget.value })} />
                </Field>
                <Field label="Variables" name="environment" note="NAME=value, one a line." error={complaint("environment")}>
                  <textarea id="environment" rows={2} value={draft.environment} onInput={(event) => change({ environment: event.currentTarget.value })} />
                </Field>
              </div>
            </fieldset>
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
          </>
        )}
        {!draft.file && (
          <p class="muted">
            Nothing at hand?{" "}
            <button type="button" class="as-link" onClick={() => void take(new File([EXAMPLE], EXAMPLE_NAME))}>
              Take the example
            </button>
            , a classifier on made-up data.{data && ` A script has ${bytes(data.limits.max_script_bytes)} at most.`}
          </p>
        )}
      </form>
    </>
  );
}

/** One sentence at the button; what is wrong with a field is beside the field. */
function summaryOf(error: unknown): string {
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

/** The whole page takes what is dropped (dropped.tsx); here it is said, and files are chosen. */
function DropZone({ file, onFile }: { file: File | undefined; onFile: (file: File) => void }) {
  return (
    <label class={file ? "drop filled" : "drop"}>
      <input
        type="file"
        class="unseen"
        accept=".py,.ipynb,.zip,.tgz,.gz"
        aria-label="Training script or project"
        onChange={(event) => {
          const chosen = event.currentTarget.files?.[0];
          if (chosen) onFile(chosen);
        }}
      />
      {file ? (
        <>
          <b>{file.name}</b> <span class="muted number">{bytes(file.size)}</span> <span class="as-link">Choose another</span>
        </>
      ) : (
        <>
          <b>Drop a training script here</b>
          <span class="muted">
            .py or .ipynb, or a project as a folder, .zip or .tar.gz. Or <span class="as-link">choose a file</span>.
          </span>
        </>
      )}
    </label>
  );
}

/** Fields that have a place of their own in the form. */
const FIELDS = new Set([
  ...["entrypoint", "model_name", "experiment_name", "resources.cpus", "resources.memory", "timeout_seconds"],
  ...["requirements", "args", "environment"],
]);
const SOURCES = new Set(["script_content", "script", "project", "script_name"]);

/** What is wrong beyond the form's fields; of a script that does not compile the line and the column. */
function ScriptErrors({ error }: { error: ApiError | undefined }) {
  const found = error?.problem.errors?.filter((item) => !FIELDS.has(item.field) && !item.field.startsWith("sweep"));
  if (!found?.length) return null;
  return (
    <ul class="field-error" role="alert">
      {found.map((item, index) => (
        <li key={index}>
          {SOURCES.has(item.field) ? "" : `${item.field} `}
          {item.line ? `Line ${item.line}${item.column ? `, column ${item.column}` : ""}: ` : ""}
          {item.detail}
        </li>
      ))}
    </ul>
  );
}

interface FieldProps {
  label: string;
  name: string;
  note?: string;
  error: string | undefined;
  children: ComponentChildren;
}

function Field({ label, name, note, error, children }: FieldProps) {
  return (
    <div class={error ? "field wrong" : "field"}>
      <label for={name}>{label}</label>
      {children}
      {note && !error && <p class="muted">{note}</p>}
      {error && (
        <p class="field-error" role="alert">
          {error}
        </p>
      )}
    </div>
  );
}
