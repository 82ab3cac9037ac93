/** What a new job asks for, as the form has it, and the same as a request and as code. Pure. */
import { command, curlWords, literal, origin, python, shell } from "../../ui/snippets";
import { linesOf } from "./lines";
import { NO_SWEEP, type SweepDraft, sweepOf, sweepOptionsOf, sweepWordsOf } from "./sweep_fields";

export { linesOf };

export interface Draft {
  file: File | undefined;
  /** Text of a script; undefined for an archive. */
  script: string | undefined;
  entrypoint: string;
  experiment: string;
  model: string;
  requirements: string;
  cpus: string;
  memory: string;
  gpus: string;
  timeout: string;
  args: string;
  environment: string;
  deploy: boolean;
  sweep: SweepDraft;
}

export const EMPTY: Draft = {
  file: undefined,
  script: undefined,
  entrypoint: "train.py",
  experiment: "",
  model: "",
  requirements: "",
  cpus: "1",
  memory: "2GiB",
  gpus: "0",
  timeout: "600",
  args: "",
  environment: "",
  deploy: true,
  sweep: NO_SWEEP,
};

export const ARCHIVE = /\.(zip|tar\.gz|tgz)$/i;

/** "Churn model (v2).py" → "churn-model-v2". */
export function nameOf(file: string): string {
  const bare = file.replace(/\.(py|ipynb|zip|tgz|tar\.gz)$/i, "").toLowerCase();
  return bare.replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, "").slice(0, 128);
}

/** "A=1" lines as an object; a line without "=" sets an empty value. */
export function variablesOf(text: string): Record<string, string> {
  return Object.fromEntries(
    linesOf(text).map((line) => {
      const at = line.indexOf("=");
      return at === -1 ? [line, ""] : [line.slice(0, at).trim(), line.slice(at + 1)];
    }),
  );
}

/** The upload's fields other than its script. Those at their default are left out. */
export function fieldsOf(draft: Draft): Record<string, unknown> {
  const gpus = Number(draft.gpus);
  const resources = { cpus: Number(draft.cpus), memory: draft.memory.trim(), ...(gpus && { gpus }) };
  const environment = variablesOf(draft.environment);
  const args = linesOf(draft.args);
  const requirements = linesOf(draft.requirements);
  const sweep = sweepOf(draft.sweep);
  return {
    experiment_name: draft.experiment,
    ...(draft.model && { model_name: draft.model }),
    ...(requirements.length && { requirements }),
    ...((resources.cpus !== 1 || resources.memory !== EMPTY.memory || gpus) && { resources }),
    ...(draft.timeout !== EMPTY.timeout && { timeout_seconds: Number(draft.timeout) }),
    ...(args.length && { args }),
    ...(Object.keys(environment).length && { environment }),
    ...(!draft.deploy && { deploy: false }),
    ...(sweep && { sweep }),
  };
}

export interface Request {
  body: string | FormData;
  headers: Record<string, string>;
}

export function requestOf(draft: Draft): Request {
  return draft.script === undefined ? { body: formOf(draft), headers: {} } : jsonOf(scriptOf(draft));
}

export function jsonOf(body: unknown): Request {
  return { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}

/** The upload of a script as JSON. */
export function scriptOf(draft: Draft): Record<string, unknown> {
  return { script_content: draft.script, script_name: fileOf(draft), ...fieldsOf(draft) };
}

/** The upload of a project. */
export function formOf(draft: Draft): FormData {
  const form = new FormData();
  if (draft.file) form.append("project", draft.file);
  form.append("entrypoint", draft.entrypoint);
  for (const [name, value] of Object.entries(fieldsOf(draft))) {
    form.append(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  return form;
}

export function codeOf(draft: Draft): { cli: string; python: string; curl: string } {
  const options = [...optionsOf(draft), ...sweepOptionsOf(draft.sweep)];
  return {
    cli: command(...trainWordsOf(draft), ...sweepWordsOf(draft.sweep)),
    python: python(`made = client.train(${[literal(fileOf(draft)), ...options.map(argument)].join(", ")})`, "made.wait()"),
    curl: formCurl("/mlops/training/upload", draft),
  };
}

export function fileOf(draft: Draft): string {
  return draft.file?.name ?? "train.py";
}

export function argument([name, value]: [string, unknown]): string {
  return `${name}=${literal(value)}`;
}

/** "train FILE …" without a sweep. */
export function trainWordsOf(draft: Draft): string[] {
  return [
    ...["train", fileOf(draft), "--experiment", draft.experiment],
    ...(draft.script === undefined ? ["--entrypoint", draft.entrypoint] : []),
    ...(draft.model ? ["--model", draft.model] : []),
    ...linesOf(draft.requirements).flatMap((line) => ["--requirements", line]),
    ...(draft.cpus !== EMPTY.cpus ? ["--cpus", draft.cpus] : []),
    ...(draft.memory !== EMPTY.memory ? ["--memory", draft.memory] : []),
    ...(Number(draft.gpus) ? ["--gpus", draft.gpus] : []),
    ...(draft.timeout !== EMPTY.timeout ? ["--timeout", draft.timeout] : []),
    ...linesOf(draft.args).map((arg) => `--arg=${arg}`),
    ...Object.entries(variablesOf(draft.environment)).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    ...(draft.deploy ? [] : ["--no-deploy"]),
  ];
}

/** Options of `client.train` without a sweep. */
export function optionsOf(draft: Draft): [string, unknown][] {
  const requirements = linesOf(draft.requirements);
  const args = linesOf(draft.args);
  const environment = variablesOf(draft.environment);
  const all: [boolean, string, unknown][] = [
    [true, "experiment", draft.experiment],
    [draft.script === undefined, "entrypoint", draft.entrypoint],
    [draft.model !== "", "model", draft.model],
    [requirements.length > 0, "requirements", requirements],
    [draft.cpus !== EMPTY.cpus, "cpus", Number(draft.cpus)],
    [draft.memory !== EMPTY.memory, "memory", draft.memory],
    [Number(draft.gpus) !== 0, "gpus", Number(draft.gpus)],
    [draft.timeout !== EMPTY.timeout, "timeout", Number(draft.timeout)],
    [args.length > 0, "args", args],
    [Object.keys(environment).length > 0, "env", environment],
    [!draft.deploy, "deploy", false],
  ];
  return all.filter(([isGiven]) => isGiven).map(([, name, value]) => [name, value]);
}

/** curl of the upload as a form, with further parts. */
export function formCurl(path: string, draft: Draft, further: Record<string, unknown> = {}): string {
  const isArchive = draft.script === undefined;
  const parts = [[...curlWords("POST"), shell(origin() + path)].join(" ")];
  parts.push(`-F ${shell(`${isArchive ? "project" : "script"}=@${fileOf(draft)}`)}`);
  if (isArchive) parts.push(`-F ${shell(`entrypoint=${draft.entrypoint}`)}`);
  for (const [name, value] of Object.entries({ ...fieldsOf(draft), ...further })) {
    parts.push(`--form-string ${shell(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)}`);
  }
  return parts.join(" \\\n  ");
}
