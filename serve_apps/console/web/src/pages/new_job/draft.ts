/** What a new job asks for, as the form has it, and the same as a request and as code. Pure. */
import { command, curlWords, literal, origin, python, shell } from "../../ui/snippets";
import { linesOf } from "./lines";
import { NO_SWEEP, optionsOf, type SweepDraft, sweepOf, wordsOf } from "./sweep_fields";

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
  const resources = { cpus: Number(draft.cpus), memory: draft.memory.trim() };
  const environment = variablesOf(draft.environment);
  const args = linesOf(draft.args);
  const requirements = linesOf(draft.requirements);
  const sweep = sweepOf(draft.sweep);
  return {
    experiment_name: draft.experiment,
    ...(draft.model && { model_name: draft.model }),
    ...(requirements.length && { requirements }),
    ...((resources.cpus !== 1 || resources.memory !== EMPTY.memory) && { resources }),
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
  const fields = fieldsOf(draft);
  if (draft.script !== undefined) {
    const body = { script_content: draft.script, script_name: draft.file?.name ?? "train.py", ...fields };
    return { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  }
  const form = new FormData();
  if (draft.file) form.append("project", draft.file);
  form.append("entrypoint", draft.entrypoint);
  for (const [name, value] of Object.entries(fields)) {
    form.append(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  return { body: form, headers: {} };
}

export function codeOf(draft: Draft): { cli: string; python: string; curl: string } {
  const file = draft.file?.name ?? "train.py";
  const isArchive = draft.script === undefined;
  const requirements = linesOf(draft.requirements);
  const args = linesOf(draft.args);
  const environment = variablesOf(draft.environment);
  const words = [
    ...["train", file, "--experiment", draft.experiment],
    ...(isArchive ? ["--entrypoint", draft.entrypoint] : []),
    ...(draft.model ? ["--model", draft.model] : []),
    ...requirements.flatMap((line) => ["--requirements", line]),
    ...(draft.cpus !== EMPTY.cpus ? ["--cpus", draft.cpus] : []),
    ...(draft.memory !== EMPTY.memory ? ["--memory", draft.memory] : []),
    ...(draft.timeout !== EMPTY.timeout ? ["--timeout", draft.timeout] : []),
    ...args.flatMap((arg) => [`--arg=${arg}`]),
    ...Object.entries(environment).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    ...(draft.deploy ? [] : ["--no-deploy"]),
    ...wordsOf(draft.sweep),
  ];
  const options: [string, unknown][] = [
    ["experiment", draft.experiment],
    ...(isArchive ? ([["entrypoint", draft.entrypoint]] as [string, unknown][]) : []),
    ...(draft.model ? ([["model", draft.model]] as [string, unknown][]) : []),
    ...(requirements.length ? ([["requirements", requirements]] as [string, unknown][]) : []),
    ...(draft.cpus !== EMPTY.cpus ? ([["cpus", Number(draft.cpus)]] as [string, unknown][]) : []),
    ...(draft.memory !== EMPTY.memory ? ([["memory", draft.memory]] as [string, unknown][]) : []),
    ...(draft.timeout !== EMPTY.timeout ? ([["timeout", Number(draft.timeout)]] as [string, unknown][]) : []),
    ...(args.length ? ([["args", args]] as [string, unknown][]) : []),
    ...(Object.keys(environment).length ? ([["env", environment]] as [string, unknown][]) : []),
    ...(draft.deploy ? [] : ([["deploy", false]] as [string, unknown][])),
    ...optionsOf(draft.sweep),
  ];
  const named = options.map(([name, value]) => `${name}=${literal(value)}`).join(", ");
  return {
    cli: command(...words),
    python: python(`made = client.train(${literal(file)}, ${named})`, "made.wait()"),
    curl: curlOf(draft, file, isArchive),
  };
}

function curlOf(draft: Draft, file: string, isArchive: boolean): string {
  const parts = [[...curlWords("POST"), shell(`${origin()}/mlops/training/upload`)].join(" ")];
  parts.push(`-F ${shell(`${isArchive ? "project" : "script"}=@${file}`)}`);
  if (isArchive) parts.push(`-F ${shell(`entrypoint=${draft.entrypoint}`)}`);
  for (const [name, value] of Object.entries(fieldsOf(draft))) {
    parts.push(`--form-string ${shell(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)}`);
  }
  return parts.join(" \\\n  ");
}

