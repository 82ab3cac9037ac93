/** Cancel, run again, delete: each asks first and shows itself as code. */
import { useState } from "preact/hooks";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import type { JobView } from "../../api/types";
import { link, navigate } from "../../router";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { bytes } from "../../ui/format";
import { DataChoice } from "./data_choice";
import { command, curl, literal, python } from "../../ui/snippets";

type Asked = "cancel" | "rerun" | "delete" | undefined;

export function JobActions({ job, onDone }: { job: JobView; onDone: () => void }) {
  const [asked, ask] = useState<Asked>();
  const isFinal = job.finished_at !== null;
  const close = () => ask(undefined);
  const right = useRight("submit");
  return (
    <>
      {job.model_name && job.model_version && (
        <a class="button primary" href={`${link("playground")}?model=${encodeURIComponent(job.model_name)}&version=${job.model_version}`}>
          Ask the model
        </a>
      )}
      {!isFinal && (
        <button type="button" disabled={!right.isGiven} title={right.why} onClick={() => ask("cancel")}>
          Cancel
        </button>
      )}
      {job.kind === "batch" ? (
        <a class="button" href={link("batches", job.job_id)}>
          Batch
        </a>
      ) : (
        <button type="button" disabled={!right.isGiven} title={right.why} onClick={() => ask("rerun")}>
          Run again
        </button>
      )}
      {isFinal && right.isGiven && job.kind !== "batch" && (
        <a class="button" href={`${link("schedules", "new")}?job=${job.job_id}`}>
          Schedule
        </a>
      )}
      {isFinal && (
        <button type="button" class="quiet" disabled={!right.isGiven} title={right.why} onClick={() => ask("delete")}>
          Delete
        </button>
      )}
      {asked === "cancel" && <Cancel job={job} onDone={onDone} onClose={close} />}
      {asked === "rerun" && <RunAgain job={job} onClose={close} />}
      {asked === "delete" && <Delete job={job} onClose={close} />}
    </>
  );
}

function Cancel({ job, onDone, onClose }: { job: JobView; onDone: () => void; onClose: () => void }) {
  const path = { job_id: job.job_id };
  const cancel = async () => {
    await dataOf(api.POST("/mlops/training/jobs/{job_id}/cancel", { params: { path } }));
    onDone();
  };
  return (
    <Confirm title="Cancel this job?" action="Cancel the job" isDangerous onConfirm={cancel} onClose={onClose}>
      <p>{job.started_at ? "The script gets a signal to stop, and is ended after the grace time." : "It leaves the queue."} Its log stays.</p>
      <AsCode
        cli={command("jobs", "cancel", job.job_id)}
        python={python(`client.jobs.get("${job.job_id}").cancel()`)}
        curl={curl("POST", `/mlops/training/jobs/${job.job_id}/cancel`)}
      />
    </Confirm>
  );
}

function RunAgain({ job, onClose }: { job: JobView; onClose: () => void }) {
  const [cpus, setCpus] = useState(String(job.resources.cpus));
  const before = amount(job.resources.memory);
  // A job that ran out of memory gets twice as much, unless somebody says otherwise.
  const [memory, setMemory] = useState(job.reason === "out_of_memory" ? amount(2 * job.resources.memory) : before);
  const changes = {
    ...(Number(cpus) !== job.resources.cpus && { cpus: Number(cpus) }),
    ...(memory !== before && { memory }),
  };
  const [chosen, choose] = useState<Record<string, string>>({});
  const asked = {
    ...(Object.keys(changes).length && { resources: changes }),
    ...(Object.keys(chosen).length && { data: chosen }),
  };
  const body = Object.keys(asked).length ? asked : undefined;
  const words = [
    ...Object.entries(changes).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...Object.entries(chosen).flatMap(([alias, reference]) => ["--data", `${alias}=${reference}`]),
  ];
  const options = Object.entries({ ...changes, ...(asked.data && { data: chosen }) }).map(([name, value]) => `${name}=${literal(value)}`);
  const run = async () => {
    const path = { job_id: job.job_id };
    const made = await dataOf(api.POST("/mlops/training/jobs/{job_id}/rerun", { params: { path }, body: asked as never }));
    navigate(link("jobs", made.job_id));
  };
  return (
    <Confirm title="Run this job again?" action="Run again" onConfirm={run} onClose={onClose}>
      <p>The same script and the same locked packages make a new job{job.data?.length ? ", with the data that you choose" : ""}.</p>
      <div class="field-row">
        <label>
          CPUs
          <input type="number" min="0.1" step="any" required value={cpus} onInput={(event) => setCpus(event.currentTarget.value)} />
        </label>
        <label>
          Memory
          <input required value={memory} onInput={(event) => setMemory(event.currentTarget.value)} />
        </label>
        {job.data?.map((before) => {
          const then = `${before.name}@${before.version}`;
          const pick = (reference: string) =>
            choose(({ [before.alias]: _, ...others }) => (reference === then ? others : { ...others, [before.alias]: reference }));
          return <DataChoice key={before.alias} before={before} value={chosen[before.alias] ?? then} onChange={pick} />;
        })}
      </div>
      <AsCode
        cli={command("jobs", "rerun", job.job_id, ...words)}
        python={python(`client.jobs.get("${job.job_id}").rerun(${options.join(", ")})`)}
        curl={curl("POST", `/mlops/training/jobs/${job.job_id}/rerun`, body)}
      />
    </Confirm>
  );
}

/** 2147483648 → "2GiB", as the API takes it. */
function amount(count: number): string {
  return bytes(count).replace(" ", "");
}

function Delete({ job, onClose }: { job: JobView; onClose: () => void }) {
  const remove = async () => {
    await dataOf(api.DELETE("/mlops/training/jobs/{job_id}", { params: { path: { job_id: job.job_id } } }));
    navigate(link("jobs"));
  };
  return (
    <Confirm title="Delete this job?" action="Delete" isDangerous onConfirm={remove} onClose={onClose}>
      <p>Its log and its history are removed for good. Its MLflow runs and model versions stay.</p>
      <AsCode
        cli={command("jobs", "delete", job.job_id)}
        python={python(`client.jobs.get("${job.job_id}").delete()`)}
        curl={curl("DELETE", `/mlops/training/jobs/${job.job_id}`)}
      />
    </Confirm>
  );
}
