/** The question of the playground as code: a command, the SDK, curl, plain Python, JavaScript, and the Open Inference Protocol. Pure. */
import { hasKey } from "../../access/key";
import { command, curl, literal, origin, python } from "../../ui/snippets";
import type { SignatureView } from "../../api/types";

export interface Question {
  name: string;
  /** "": by traffic. */
  version: string;
  inputs: unknown;
  wantsShares: boolean;
  signature: SignatureView;
}

export function bodyOf({ name, version, inputs, wantsShares }: Omit<Question, "signature">): Record<string, unknown> {
  return {
    model_name: name,
    ...(version && { model_version: version }),
    inputs,
    ...(wantsShares && { return_probabilities: true }),
  };
}

export function codesOf(question: Question): { cli: string; python: string; curl: string; more: [string, string][] } {
  const { name, version, inputs, wantsShares } = question;
  const words = ["predict", name, "--inputs", JSON.stringify(inputs), ...(version ? ["--version", version] : []), ...(wantsShares ? ["--proba"] : [])];
  const options = [...(version ? [`version=${literal(version)}`] : []), ...(wantsShares ? ["proba=True"] : [])];
  const triton = tritonOf(question);
  return {
    cli: command(...words),
    python: python(`print(client.predict(${[literal(name), literal(inputs), ...options].join(", ")}).predictions)`),
    curl: curl("POST", "/mlops/inference", bodyOf(question)),
    more: [["httpx", httpxOf(question)], ["JavaScript", scriptOf(question)], ...(triton ? ([["Open Inference", triton]] as [string, string][]) : [])],
  };
}

function httpxOf(question: Question): string {
  const key = hasKey();
  return [
    ...(key ? ["import os", ""] : []),
    "import httpx",
    "",
    "answer = httpx.post(",
    `    ${literal(`${origin()}/mlops/inference`)},`,
    `    json=${literal(bodyOf(question))},`,
    ...(key ? [`    headers={"Authorization": f"Bearer {os.environ['RAYLIFT_API_KEY']}"},`] : []),
    "    timeout=60,",
    ")",
    "answer.raise_for_status()",
    'print(answer.json()["predictions"])',
  ].join("\n");
}

function scriptOf(question: Question): string {
  const key = hasKey() ? ', Authorization: `Bearer ${process.env.RAYLIFT_API_KEY}`' : "";
  return [
    `const answer = await fetch(${JSON.stringify(`${origin()}/mlops/inference`)}, {`,
    '  method: "POST",',
    `  headers: { "Content-Type": "application/json"${key} },`,
    `  body: JSON.stringify(${JSON.stringify(bodyOf(question))}),`,
    "});",
    "if (!answer.ok) throw new Error(await answer.text());",
    "console.log((await answer.json()).predictions);",
  ].join("\n");
}

const DATATYPES: Record<string, [string, string]> = {
  boolean: ["BOOL", "bool"],
  integer: ["INT32", "int32"],
  long: ["INT64", "int64"],
  float: ["FP32", "float32"],
  double: ["FP64", "float64"],
  string: ["BYTES", "object"],
};

/** tritonclient's request; undefined where the inputs are not whole columns of the signature's types. */
function tritonOf({ name, version, inputs, wantsShares, signature }: Question): string | undefined {
  const rows = inputs as Record<string, unknown>[];
  const columns = signature.inputs;
  const isTable = Array.isArray(inputs) && rows.length > 0 && columns.length > 0;
  if (!isTable || wantsShares || !rows.every((row) => columns.every((column) => isPlain(row?.[column.name]) && column.type in DATATYPES))) return undefined;
  const lines = columns.map((column) => {
    const [datatype, dtype] = DATATYPES[column.type] ?? ["FP64", "float64"];
    return `    (${literal(column.name)}, ${literal(datatype)}, np.array(${literal(rows.map((row) => row[column.name]))}, dtype=${literal(dtype)})),`;
  });
  const { host, isTls } = hostOf(origin());
  const key = hasKey();
  const options = [...(version ? [`model_version=${literal(version)}`] : []), ...(key ? [`headers={"Authorization": f"Bearer {os.environ['RAYLIFT_API_KEY']}"}`] : [])];
  return [
    '# pip install "tritonclient[http]"',
    ...(key ? ["import os", ""] : []),
    "import numpy as np",
    "from tritonclient.http import InferenceServerClient, InferInput",
    "",
    `client = InferenceServerClient(${literal(host)}${isTls ? ", ssl=True" : ""})`,
    "tensors = []",
    "for name, datatype, values in [",
    ...lines,
    "]:",
    "    tensor = InferInput(name, list(values.shape), datatype)",
    "    tensor.set_data_from_numpy(values)",
    "    tensors.append(tensor)",
    `answer = client.infer(${[literal(name), "tensors", ...options].join(", ")})`,
    'print(answer.as_numpy(answer.get_response()["outputs"][0]["name"]))',
  ].join("\n");
}

function isPlain(value: unknown): boolean {
  return typeof value === "number" || typeof value === "string" || typeof value === "boolean";
}

function hostOf(address: string): { host: string; isTls: boolean } {
  const url = new URL(address);
  return { host: url.port ? url.host : `${url.hostname}:${url.protocol === "https:" ? 443 : 80}`, isTls: url.protocol === "https:" };
}
