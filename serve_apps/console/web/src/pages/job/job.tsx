/** One job: its state with the reason, its phases, log, metrics, script, environment and history. */
import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { hasKey } from "../../access/key";
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { JobView } from "../../api/types";
import { LogViewer } from "../../log/viewer";
import { link, query, withQuery } from "../../router";
import { bytes, duration, plural, shortId, words } from "../../ui/format";
import { Ago, Copy, Facts, Failure, Loading, PageHead, Tabs } from "../../ui/parts";
import { RunLink } from "../../ui/run_link";
import { State } from "../../ui/state";
import { elapsed } from "../jobs";
import { JobActions } from "./actions";
import { adviceFor } from "./advice";
import { EnvironmentTab } from "./environment";
import { HistoryTab } from "./history";
import { LiveUsageBar } from "./live_usage";
import { MetricsTab } from "./metrics";
import { Order } from "./order";
import { ScriptTab } from "./script";
import { Timeline } from "./timeline";

const TABS = ["log", "metrics", "script", "environment", "history"];

export function JobPage({ id }: { id: string }) {
  const [isFinal, setFinal] = useState(false);
  const { data, error, refresh } = usePoll(
    `job ${id}`,
    (call) => api.GET("/mlops/training/jobs/{job_id}", { ...call, params: { path: { job_id: id } } }),
    isFinal ? 30 : 2,
  );
  const read = useRef<{ job: JobView | undefined; at: number }>({ job: undefined, at: Date.now() });
  if (read.current.job !== data) read.current = { job: data, at: Date.now() };
  if (data && (data.finished_at !== null) !== isFinal) setFinal(data.finished_at !== null);
  if (error) return <Failure error={error} what="job" />;
  if (!data) return <Loading />;
  const tab = TABS.find((item) => item === query.value.get("tab")) ?? "log";
  return (
    <>
      <PageHead
        above={<a href={link("jobs")}>Jobs</a>}
        title={data.model_name ?? data.experiment_name}
        beside={<State state={data.status} detail={data.status === "running" && data.phase !== "script" ? words(data.phase) : ""} />}
        actions={<JobActions job={data} onDone={refresh} />}
      />
      <Reason job={data} />
      <JobFacts job={data} />
      <Timeline job={data} readAt={read.current.at} />
      <LiveUsageBar job={data} />
      <Order job={data} />
      <Tabs
        label="Parts of the job"
        selected={tab}
        items={[
          { id: "log", label: "Log", href: withQuery({ tab: null }) },
          { id: "metrics", label: "Metrics", count: Object.keys(data.metrics).length || undefined, href: withQuery({ tab: "metrics" }) },
          { id: "script", label: data.command ? "Command" : "Script", href: withQuery({ tab: "script" }) },
          { id: "environment", label: "Environment", href: withQuery({ tab: "environment" }) },
          { id: "history", label: "History", href: withQuery({ tab: "history" }) },
        ]}
      />
      <div class="tab-body">
        {tab === "log" && <LogTab job={data} />}
        {tab === "metrics" && <MetricsTab job={data} />}
        {tab === "script" && <ScriptTab job={data} />}
        {tab === "environment" && <EnvironmentTab job={data} />}
        {tab === "history" && <HistoryTab job={data} />}
      </div>
    </>
  );
}

function LogTab({ job }: { job: JobView }) {
  const chosen = Number(query.value.get("attempt")) || null;
  return (
    <>
      {job.attempt > 1 && (
        <ul class="chips attempts" aria-label="Attempt">
          {Array.from({ length: job.attempt }, (_, index) => index + 1).map((number) => (
            <li key={number}>
              <a
                class={(chosen ?? job.attempt) === number ? "chip on" : "chip"}
                aria-current={(chosen ?? job.attempt) === number ? "true" : undefined}
                href={withQuery({ attempt: number === job.attempt ? null : String(number) })}
              >
                attempt {number}
              </a>
            </li>
          ))}
        </ul>
      )}
      <LogViewer key={`${job.job_id} ${chosen}`} jobId={job.job_id} attempt={chosen} isFinal={job.finished_at !== null} />
    </>
  );
}

function Reason({ job }: { job: JobView }) {
  if (job.status === "completed" || (!job.reason && !job.message)) return null;
  const advice = adviceFor(job);
  const downloads = job.environment_progress;
  return (
    <section class={`reason reason-${job.status}`} aria-label="Reason">
      {job.reason && (
        <p>
          <b>{words(job.reason)}</b>
          {job.queue_position !== null && job.queue_position !== undefined && ` · place ${job.queue_position} in the queue`}
        </p>
      )}
      {job.message && <p class="reason-message">{job.message}</p>}
      {downloads && downloads.size > 0 && (
        <p class="number">
          <progress value={downloads.downloaded} max={downloads.size} aria-label="Downloads" /> {bytes(downloads.downloaded)} of{" "}
          {bytes(downloads.size)}
        </p>
      )}
      {job.environment_note && <p>{job.environment_note}</p>}
      {advice && <p class="advice">{advice}</p>}
    </section>
  );
}

function JobFacts({ job }: { job: JobView }) {
  const usage = job.usage;
  const version = job.model_name && job.model_version;
  return (
    <Facts
      items={[
        ["Job", <Identifier id={job.job_id} />],
        ["Experiment", <a href={`${link("jobs")}?experiment=${encodeURIComponent(job.experiment_name)}`}>{job.experiment_name}</a>],
        ["Model version", version ? <a href={link("models", job.model_name ?? "", job.model_version ?? "")}>{`${job.model_name} v${job.model_version}`}</a> : "—"],
        ...(job.data?.length ? ([["Data", <JobData job={job} />]] as [string, JSX.Element][]) : []),
        ...(job.schedule
          ? ([["Schedule", <a href={link("schedules", job.links.schedule?.split("/").pop() ?? job.schedule)}>{job.schedule}</a>]] as [string, JSX.Element][])
          : []),
        ["MLflow run", job.mlflow_run_id ? <RunLink id={job.mlflow_run_id} workspace={job.workspace} /> : "—"],
        ["Owner", hasKey() ? `${job.owner} in ${job.workspace}` : job.owner],
        ["Created", <Ago at={job.created_at} />],
        ["Ran", job.started_at ? `${duration(elapsed(job))} of ${duration(job.timeout_seconds)}` : "—"],
        ["CPU", usage ? `${duration(usage.cpu_seconds)} on ${plural(job.resources.cpus, "CPU")}` : plural(job.resources.cpus, "CPU")],
        ["Memory", usage ? <Memory peak={usage.peak_memory_bytes} limit={job.resources.memory} /> : bytes(job.resources.memory)],
        ...((job.exit_code ?? 0) !== 0 ? ([["Exit code", String(job.exit_code)]] as [string, string][]) : []),
        ...(Object.keys(job.tags).length
          ? ([["Tags", Object.entries(job.tags).map(([name, value]) => `${name}=${value}`).join(" ")]] as [string, string][])
          : []),
      ]}
    />
  );
}

function Identifier({ id }: { id: string }) {
  return (
    <span class="identifier">
      <code title={id}>{shortId(id)}</code> <Copy text={id} label="the job's id" />
    </span>
  );
}

function Memory({ peak, limit }: { peak: number; limit: number }) {
  return (
    <span class="memory">
      {bytes(peak)} of {bytes(limit)}
      <meter value={Math.min(peak, limit)} max={limit} high={limit * 0.9} aria-label="Peak of memory" />
    </span>
  );
}

/** Datasets of the job, each with a link to its version. */
function JobData({ job }: { job: JobView }) {
  return (
    <>
      {job.data?.map((each) => (
        <div key={each.alias}>
          {each.alias}:{" "}
          {each.version ? (
            <a href={`${link("datasets", each.name)}?version=${each.version}`}>{`${each.name}@${each.version}`}</a>
          ) : (
            `${each.name}, which ${shortId(each.of_job ?? "")} has yet to make`
          )}
        </div>
      ))}
    </>
  );
}
