/** Is all well; what needs me. */
import { api } from "../api/client";
import { usePoll } from "../api/poll";
import type { DeploymentView, JobSummary, Overview } from "../api/types";
import { link } from "../router";
import { grouped, partName, plural, words } from "../ui/format";
import { Ago, Failure, Loading, PageHead } from "../ui/parts";
import { State, StateIcon } from "../ui/state";
import { JobsTable } from "./jobs";

const RECENT = 10;

export function OverviewPage() {
  const overview = usePoll("overview", (call) => api.GET("/mlops/overview", call), 5);
  const jobs = usePoll("recent jobs", (call) => api.GET("/mlops/training/jobs", { ...call, params: { query: { limit: RECENT } } }));
  const deployments = usePoll("deployments", (call) => api.GET("/mlops/deployments", call), 5);
  const error = overview.error ?? jobs.error;
  if (error) return <Failure error={error} what="overview" />;
  if (!overview.data || !jobs.data) return <Loading />;
  const isFresh = jobs.data.jobs.length === 0;
  const broken = deployments.data?.deployments.filter((item) => item.status === "unhealthy") ?? [];
  return (
    <>
      <PageHead title="Overview" />
      <Parts parts={overview.data.parts} />
      {isFresh ? <Steps /> : <Counts overview={overview.data} />}
      {broken.length > 0 && <Broken deployments={broken} />}
      {!isFresh && <Recent jobs={jobs.data.jobs} />}
    </>
  );
}

function Parts({ parts }: { parts: Overview["parts"] }) {
  return (
    <ul class="parts" aria-label="Parts of the platform">
      {Object.entries(parts).map(([name, part]) => (
        <li key={name} class={part.ok ? undefined : "down"}>
          <StateIcon state={part.ok ? "up" : "down"} />
          <span>{partName(name)}</span>
          <span class="muted">{part.ok ? "up" : (part.detail ?? "down")}</span>
        </li>
      ))}
    </ul>
  );
}

function Counts({ overview }: { overview: Overview }) {
  const jobs = ["running", "queued", "failed", "completed", "cancelled"];
  const deployments = Object.entries(overview.deployments).filter(([, count]) => count > 0);
  const failures = Object.entries(overview.failures)
    .filter(([, count]) => count > 0)
    .sort(([, first], [, second]) => second - first);
  return (
    <div class="counts">
      <section aria-labelledby="count-jobs">
        <h2 id="count-jobs">Jobs</h2>
        <ul>
          {jobs.map((status) => (
            <li key={status}>
              <a href={`${link("jobs")}?status=${status}`}>
                <span class="figure">{grouped(overview.jobs[status] ?? 0)}</span>
                <State state={status} />
              </a>
            </li>
          ))}
        </ul>
      </section>
      <section aria-labelledby="count-deployments">
        <h2 id="count-deployments">Deployments</h2>
        {deployments.length === 0 && <p class="muted">None yet.</p>}
        <ul>
          {deployments.map(([status, count]) => (
            <li key={status}>
              <a href={link("deployments")}>
                <span class="figure">{grouped(count)}</span>
                <State state={status} />
              </a>
            </li>
          ))}
        </ul>
      </section>
      {failures.length > 0 && (
        <section aria-labelledby="count-failures">
          <h2 id="count-failures">Why jobs failed</h2>
          <ul class="reasons">
            {failures.map(([reason, count]) => (
              <li key={reason}>
                <a class="chip" href={`${link("jobs")}?status=failed&reason=${reason}`}>
                  {words(reason)} <span class="number">{grouped(count)}</span>
                </a>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

function Broken({ deployments }: { deployments: DeploymentView[] }) {
  return (
    <section aria-labelledby="broken">
      <h2 id="broken">{plural(deployments.length, "deployment")} cannot answer</h2>
      <ul class="plain">
        {deployments.map((item) => (
          <li key={`${item.model_name} ${item.model_version}`}>
            <StateIcon state="unhealthy" />{" "}
            <a href={link("models", item.model_name, item.model_version)}>
              {item.model_name} v{item.model_version}
            </a>{" "}
            <span class="muted">{item.message}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Recent({ jobs }: { jobs: JobSummary[] }) {
  const newest = jobs[0];
  return (
    <section aria-labelledby="recent">
      <div class="bar">
        <h2 id="recent">Newest jobs</h2>
        <span class="muted">{newest && <Ago at={newest.created_at} />}</span>
        <span class="spread" />
        <a href={link("jobs")}>All jobs</a>
      </div>
      <JobsTable jobs={jobs} />
    </section>
  );
}

function Steps() {
  return (
    <ol class="steps">
      <li>
        <h2>Send a training script</h2>
        <p>Drop a Python file that fits a model anywhere on this page. Or take the example: a classifier that is trained in seconds.</p>
        <a class="button primary" href={link("new")}>
          New job
        </a>
      </li>
      <li>
        <h2>Watch it train</h2>
        <p>The job's page shows where it is, what it prints, and in one sentence why it waits or failed.</p>
      </li>
      <li>
        <h2>Ask the model</h2>
        <p>The version that it registers answers at once. The playground has a form for it, and the code to ask from anywhere.</p>
      </li>
    </ol>
  );
}
