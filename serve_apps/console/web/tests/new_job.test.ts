import { describe, expect, test, vi } from "vitest";
import { codeOf, type Draft, EMPTY, fieldsOf, nameOf, requestOf, variablesOf } from "../src/pages/new_job/draft";

vi.stubGlobal("location", { origin: "http://127.0.0.1:8000", pathname: "/console/", search: "" });
vi.stubGlobal("addEventListener", () => undefined);
const { droppedOf } = await import("../src/pages/new_job/dropped");

test("a folder, a file or nothing is dropped", () => {
  const data = (entry: unknown, files: File[]) => ({ items: [{ webkitGetAsEntry: () => entry }], files }) as unknown as DataTransfer;
  const folder = { isDirectory: true };
  expect(droppedOf(data(folder, [FILE]))).toEqual({ folder });
  expect(droppedOf(data(null, [FILE]))).toEqual({ file: FILE });
  expect(droppedOf(data(null, []))).toBeUndefined();
});

const FILE = new File(["print(1)"], "Churn model.py");
const DRAFT: Draft = { ...EMPTY, file: FILE, script: "print(1)", experiment: "churn", model: "churn" };

describe("a new job", () => {
  test("its name comes from the file", () => {
    expect(["Churn model (v2).py", "train.ipynb", "a.tar.gz", "ünï.py"].map(nameOf)).toEqual(["churn-model-v2", "train", "a", "n"]);
  });

  test("what is at its default is left out", () => {
    expect(fieldsOf(DRAFT)).toEqual({ experiment_name: "churn", model_name: "churn" });
    expect(fieldsOf({ ...DRAFT, memory: "4GiB", args: "--a\n\n--b", deploy: false })).toEqual({
      experiment_name: "churn",
      model_name: "churn",
      resources: { cpus: 1, memory: "4GiB" },
      args: ["--a", "--b"],
      deploy: false,
    });
  });

  test("variables are lines", () => expect(variablesOf("A=1\nB=x=y\n\nC")).toEqual({ A: "1", B: "x=y", C: "" }));

  test("a script is JSON, a project is a form", () => {
    expect(JSON.parse(requestOf(DRAFT).body as string)).toMatchObject({ script_content: "print(1)", script_name: "Churn model.py" });
    const form = requestOf({ ...DRAFT, script: undefined }).body as FormData;
    expect([...form.keys()]).toEqual(["project", "entrypoint", "experiment_name", "model_name"]);
  });

  test("as code, quoted for the shell", () => {
    const code = codeOf({ ...DRAFT, args: "--name it's", requirements: "lightgbm>=4" });
    expect(code.cli).toBe(
      `raylift train 'Churn model.py' --experiment churn --model churn --requirements 'lightgbm>=4' '--arg=--name it'"'"'s'`,
    );
    expect(code.python).toContain(`client.train("Churn model.py", experiment="churn", model="churn", requirements=["lightgbm>=4"]`);
    expect(code.curl).toContain(`-F 'script=@Churn model.py'`);
  });
});
