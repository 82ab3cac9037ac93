/** All jobs, newest first: what runs, waits or failed, and why. */
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { api } from "../api/client";
import { usePoll } from "../api/poll";
import type { JobReason, JobStatus, JobSummary } from "../api/types";
import { link, navigate, query, setQuery, withQuery } from "../router";
import { now } from "../ui/clock";
import { duration, grouped, metric, resources, shortId, words } from "../ui/format";
import { Ago, Empty, Failure, Loading, PageHead, Pages } from "../ui/parts";
import { State } from "../ui/state";

const STATUSES: JobStatus[] = ["running", "queued", "failed", "completed", "cancelled"];
const PAGE = 50;

export function JobsPage() {
  const values = query.value;
  const status = STATUSES.find((item) => item === values.get("status"));
  const text = values.get("q") ?? "";
  const cursor = values.get("after") ?? "";
  const filter = {
    ...(status && { status }),
    ...(text && { q: text }),
    ...(values.get("model") && { model_name: values.get("model") ?? "" }),
    ...(values.get("experiment") && { experiment_name: values.get("experiment") ?? "" }),
    ...(values.get("owner") && { owner: values.get("owner") ?? "" }),
    ...(values.get("reason") && { reason: values.get("reason") as JobReason }),
    ...(values.get("schedule") && { schedule: values.get("schedule") ?? "" }),
    ...(cursor && { cursor }),
  };
  const { data, error } = usePoll(`jobs ${JSON.stringify(filter)}`, (call) =>
    api.GET("/mlops/training/jobs", { ...call, params: { query: { ...filter, limit: PAGE } } }),
  );
  const [picked, setPicked] = useState<string[]>([]);
  const pick = (id: string) =>
    setPicked((before) => (before.includes(id) ? before.filter((other) => other !== id) : [...before, id].slice(-2)));
  const isFiltered = Object.keys(filter).length > 0;
  return (
    <>
      <PageHead title="Jobs" actions={<DiffButton picked={picked} />} />
      <Filters status={status} text={text} />
      {error && <Failure error={error} what="list of jobs" />}
      {!data && !error && <Loading />}
      {data && data.jobs.length > 0 && <JobsTable jobs={data.jobs} picked={picked} onPick={pick} />}
      {data && data.jobs.length === 0 && <NoJobs isFiltered={isFiltered} />}
      {data && <Pages cursor={cursor} next={data.next_cursor} older="Older jobs" />}
    </>
  );
}

function DiffButton({ picked }: { picked: string[] }) {
  const [second, first] = picked;
  if (!first || !second) return <span class="muted">Select two jobs to compare them</span>;
  return (
    <a class="button" href={link("jobs", second, "diff", first)}>
      Compare two jobs
    </a>
  );
}

function Filters({ status, text }: { status: JobStatus | undefined; text: string }) {
  const { data } = usePoll("overview", (call) => api.GET("/mlops/overview", call), 5);
  const counts = data?.jobs;
  const total = counts && Object.values(counts).reduce((sum, count) => sum + count, 0);
  const named = ["model", "experiment", "owner", "schedule", "reason"].filter((name) => query.value.get(name));
  return (
    <div class="filters">
      <Search text={text} />
      <ul class="chips" aria-label="Filter by state">
        <Chip label="all" count={total} isOn={!status} href={withQuery({ status: null, after: null })} />
        {STATUSES.map((item) => (
          <Chip
            key={item}
            label={item}
            count={counts?.[item]}
            isOn={status === item}
            href={withQuery({ status: item, after: null })}
          />
        ))}
      </ul>
      {named.map((name) => (
        <a key={name} class="chip on" href={withQuery({ [name]: null, after: null })} title="Remove this filter">
          {name}: {name === "reason" ? words(query.value.get(name) ?? "") : query.value.get(name)} ×
        </a>
      ))}
    </div>
  );
}

function Search({ text }: { text: string }) {
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => setQuery({ q: typed, after: null }), 200);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <input
      type="search"
      data-find
      class="search"
      placeholder="Filter: id, model, experiment, owner"
      aria-label="Filter jobs"
      value={typed}
      onInput={(event) => setTyped(event.currentTarget.value)}
      onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
    />
  );
}

function Chip({ label, count, isOn, href }: { label: string; count: number | undefined; isOn: boolean; href: string }) {
  return (
    <li>
      <a class={isOn ? "chip on" : "chip"} href={href} aria-current={isOn ? "true" : undefined}>
        {label}
        {count !== undefined && <span class="number">{grouped(count)}</span>}
      </a>
    </li>
  );
}

interface JobsTableProps {
  jobs: JobSummary[];
  picked?: string[];
  onPick?: (id: string) => void;
}

export function JobsTable({ jobs, picked, onPick }: JobsTableProps) {
  return (
    <div class="table-box">
      <table class="jobs">
        <thead>
          <tr>
            {onPick && (
              <th class="pick">
                <span class="unseen">Select</span>
              </th>
            )}
            <th class="col-state">State</th>
            <th class="col-name">Job</th>
            <th class="col-why">Reason or result</th>
            <th class="col-owner">Owner</th>
            <th class="right">Asks for</th>
            <th class="right">Time</th>
            <th class="right">Created</th>
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => (
            <Row key={job.job_id} job={job} isPicked={picked?.includes(job.job_id)} onPick={onPick} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  job: JobSummary;
  isPicked: boolean | undefined;
  onPick: ((id: string) => void) | undefined;
}

function Row({ job, isPicked, onPick }: RowProps) {
  const href = link("jobs", job.job_id);
  const open = (event: JSX.TargetedMouseEvent<HTMLElement>) => {
    if ((event.target as Element).closest("a, input, label") || getSelection()?.toString()) return;
    navigate(href);
  };
  return (
    <tr onClick={open}>
      {onPick && (
        <td class="pick">
          <input
            type="checkbox"
            checked={isPicked}
            onChange={() => onPick(job.job_id)}
            aria-label={`Select ${job.model_name ?? job.experiment_name} ${shortId(job.job_id)}`}
          />
        </td>
      )}
      <td class="col-state">
        <State state={job.status} detail={job.attempt > 1 ? `attempt ${job.attempt}` : undefined} />
      </td>
      <td class="col-name">
        <a href={href} data-row>
          {job.model_name ?? job.experiment_name}
          {job.model_version && <span class="version"> v{job.model_version}</span>}
        </a>
        <span class="muted ellipsis">
          {job.model_name && job.model_name !== job.experiment_name && `${job.experiment_name} · `}
          {job.script_name} · {shortId(job.job_id)}
        </span>
      </td>
      <td class="col-why">
        <Why job={job} />
      </td>
      <td class="col-owner">{job.owner}</td>
      <td class="right number nowrap">
        {resources(job.resources.cpus, job.resources.memory, job.resources.gpus)}
      </td>
      <td class="right number nowrap">{job.started_at ? duration(elapsed(job)) : "—"}</td>
      <td class="right number nowrap">
        <Ago at={job.created_at} />
      </td>
    </tr>
  );
}

function Why({ job }: { job: JobSummary }) {
  if (!job.reason || job.status === "completed") {
    if (job.queue_position) return <span class="why">place {job.queue_position} in the queue</span>;
    const phase = job.phase !== job.status && job.status === "running" && job.phase !== "script" ? words(job.phase) : "";
    const text = phase || figures(job.metrics);
    return (
      <span class="muted number ellipsis" title={text}>
        {text}
      </span>
    );
  }
  return (
    <span class="why" title={job.message ?? undefined}>
      <b>{words(job.reason)}</b>
      {job.queue_position && ` · place ${job.queue_position}`}
      {job.message && <span class="muted">: {job.message}</span>}
    </span>
  );
}

/** { accuracy: 0.91234, f1: 0.9 } → "accuracy 0.9123 · f1 0.9000" */
export function figures(metrics: JobSummary["metrics"]): string {
  return Object.entries(metrics ?? {})
    .map(([name, value]) => `${name} ${metric(value as number | null)}`)
    .join(" · ");
}

/** Seconds from the start of the script; of a running job up to now, between two polls too. */
export function elapsed(job: JobSummary): number {
  if (job.status !== "running" || !job.started_at) return job.duration_seconds ?? 0;
  return Math.max(0, (now.value - Date.parse(job.started_at)) / 1000);
}

function NoJobs({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) {
    return (
      <Empty title="No job matches">
        <p>
          <a href={link("jobs")}>Show all jobs</a>
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="No jobs yet">
      <p>A job runs a training script and registers the model that it logs. Drop a script anywhere on this page.</p>
      <a class="button primary" href={link("new")}>
        New job
      </a>
    </Empty>
  );
}
