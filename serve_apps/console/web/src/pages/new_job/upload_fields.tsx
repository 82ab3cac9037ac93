/** The fields of an upload, for a new job and for a schedule: the source, what it makes, and with what. */
import type { ComponentChildren } from "preact";
import type { ApiError } from "../../api/client";
import { Code } from "../../ui/code";
import { bytes } from "../../ui/format";
import type { Draft } from "./draft";

interface UploadFieldsProps {
  draft: Draft;
  change: (values: Partial<Draft>) => void;
  /** What is wrong with a field of the upload. */
  complaint: (field: string) => string | undefined;
}

export function UploadFields({ draft, change, complaint }: UploadFieldsProps) {
  return (
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
          <Field label="GPUs" name="gpus" error={complaint("resources.gpus")}>
            <input id="gpus" inputMode="decimal" value={draft.gpus} onInput={(event) => change({ gpus: event.currentTarget.value })} />
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
    </>
  );
}

export function Preview({ draft }: { draft: Draft }) {
  if (draft.script === undefined) return null;
  return (
    <details class="preview">
      <summary>Script</summary>
      <Code text={draft.script} isPython={!draft.file?.name.endsWith(".ipynb")} />
    </details>
  );
}

/** The whole page takes what is dropped (dropped.tsx); here it is said, and files are chosen. */
export function DropZone({ file, onFile }: { file: File | undefined; onFile: (file: File) => void }) {
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

/** Fields that have a place of their own in a form. */
const FIELDS = new Set([
  ...["entrypoint", "model_name", "experiment_name", "resources.cpus", "resources.memory", "resources.gpus", "timeout_seconds"],
  ...["requirements", "args", "environment"],
  ...["name", "cron", "timezone", "overlap", "catch_up_seconds", "jitter_seconds", "rerun"],
]);
/** The upload and the other fields of a schedule. */
const PART = /^(train|schedule)\./;
const SOURCES = new Set(["script_content", "script", "project", "script_name", "train"]);

/** What is wrong beyond the form's fields; of a script that does not compile the line and the column. */
export function ScriptErrors({ error }: { error: ApiError | undefined }) {
  const all = error?.problem.errors?.map((item) => ({ ...item, field: item.field.replace(PART, "") }));
  const found = all?.filter((item) => !FIELDS.has(item.field) && !item.field.startsWith("sweep"));
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

export function Field({ label, name, note, error, children }: FieldProps) {
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
