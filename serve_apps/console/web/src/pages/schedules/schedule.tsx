/** One schedule: its times, its history, and what can be done with it. */
import { useState } from "preact/hooks";
import { hasKey } from "../../access/key";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { ScheduleRun, ScheduleView } from "../../api/types";
import { link, navigate, query } from "../../router";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { duration, shortId, wallClock } from "../../ui/format";
import { Ago, Empty, Facts, Failure, Loading, PageHead, Pages } from "../../ui/parts";
import { command, curl, literal, python } from "../../ui/snippets";
import { Outcome } from "./outcome";
import { Next } from "./schedules";

const OVERLAPS: Record<ScheduleView["overlap"], string> = {
  skip: "skip: no job while one runs",
  queue: "queue: one moment waits for the end",
  cancel_previous: "cancel_previous: the job that runs is cancelled",
};

export function SchedulePage({ id }: { id: string }) {
  const path = { schedule_name: id };
  const { data, error, refresh } = usePoll(`schedule ${id}`, (call) => api.GET("/mlops/schedules/{schedule_name}", { ...call, params: { path } }), 3);
  return (
    <>
      <PageHead
        title={data?.name ?? "Schedule"}
        above={<a href={link("schedules")}>Schedules</a>}
        actions={data && <Actions schedule={data} onDone={refresh} />}
      />
      {error && <Failure error={error} what="schedule" />}
      {!data && !error && <Loading />}
      {data && (
        <>
          <ScheduleFacts schedule={data} />
          <h2>History</h2>
          <History id={id} />
        </>
      )}
    </>
  );
}

function ScheduleFacts({ schedule }: { schedule: ScheduleView }) {
  return (
    <Facts
      items={[
        ["Times", <><code>{schedule.cron}</code> in {schedule.timezone}</>],
        ["Next run", <Next at={schedule.next_runs[0]} isPaused={schedule.paused} />],
        ["Then", <Then moments={schedule.next_runs.slice(1, 4)} />],
        ["Overlap", OVERLAPS[schedule.overlap]],
        ["Catch-up", duration(schedule.catch_up_seconds)],
        ["Jitter", schedule.jitter_seconds ? `up to ${duration(schedule.jitter_seconds)}` : "none"],
        ["Runs", `${schedule.kind} of ${schedule.entrypoint ?? schedule.script_name}`],
        ["Model", schedule.model_name ?? "—"],
        ["Owner", hasKey() ? `${schedule.owner} in ${schedule.workspace}` : schedule.owner],
        ["Changed", <Ago at={schedule.updated_at} />],
        ["Jobs", <a href={`${link("jobs")}?schedule=${encodeURIComponent(schedule.name)}`}>all that it made</a>],
      ]}
    />
  );
}

function Then({ moments }: { moments: string[] }) {
  if (!moments.length) return <span class="muted">—</span>;
  return (
    <>
      {moments.map((at) => (
        <div key={at} class="number nowrap">
          {wallClock(at)}
        </div>
      ))}
    </>
  );
}

function History({ id }: { id: string }) {
  const cursor = query.value.get("after") ?? "";
  const path = { schedule_name: id };
  const { data, error } = usePoll(
    `runs ${id} ${cursor}`,
    (call) => api.GET("/mlops/schedules/{schedule_name}/runs", { ...call, params: { path, query: { limit: 50, ...(cursor && { cursor }) } } }),
    3,
  );
  if (error) return <Failure error={error} what="history" />;
  if (!data) return <Loading />;
  if (!data.runs.length) {
    return (
      <Empty title="Nothing was due yet">
        <p>Each moment appears here with its job, or with the reason why it made none.</p>
      </Empty>
    );
  }
  return (
    <>
      <div class="table-box">
        <table>
          <thead>
            <tr>
              <th class="col-state">Outcome</th>
              <th>Due</th>
              <th>Job</th>
              <th>Why</th>
            </tr>
          </thead>
          <tbody>
            {data.runs.map((run) => (
              <Row key={run.due_at} run={run} />
            ))}
          </tbody>
        </table>
      </div>
      <Pages cursor={cursor} next={data.next_cursor} older="Older runs" />
    </>
  );
}

function Row({ run }: { run: ScheduleRun }) {
  return (
    <tr>
      <td class="col-state">
        <Outcome run={run} />
      </td>
      <td class="number nowrap">
        <time dateTime={run.due_at}>{wallClock(run.due_at)}</time> {run.manual && <span class="muted">run now</span>}
      </td>
      <td>{run.job_id ? <a href={link("jobs", run.job_id)} data-row>{shortId(run.job_id)}</a> : "—"}</td>
      <td>{run.message ?? ""}</td>
    </tr>
  );
}

type Asked = "run" | "pause" | "delete" | undefined;

function Actions({ schedule, onDone }: { schedule: ScheduleView; onDone: () => void }) {
  const [asked, ask] = useState<Asked>();
  const right = useRight("submit");
  const close = () => ask(undefined);
  return (
    <>
      <button type="button" disabled={!right.isGiven} title={right.why} onClick={() => ask("run")}>
        Run now
      </button>
      <button type="button" disabled={!right.isGiven} title={right.why} onClick={() => ask("pause")}>
        {schedule.paused ? "Resume" : "Pause"}
      </button>
      <button type="button" class="quiet" disabled={!right.isGiven} title={right.why} onClick={() => ask("delete")}>
        Delete
      </button>
      {asked === "run" && <RunNow schedule={schedule} onClose={close} />}
      {asked === "pause" && <Pause schedule={schedule} onDone={onDone} onClose={close} />}
      {asked === "delete" && <Delete schedule={schedule} onClose={close} />}
    </>
  );
}

function RunNow({ schedule, onClose }: { schedule: ScheduleView; onClose: () => void }) {
  const path = { schedule_name: schedule.schedule_id };
  const run = async () => {
    const made = await dataOf(api.POST("/mlops/schedules/{schedule_name}/run", { params: { path } }));
    navigate(link("jobs", made.job_id));
  };
  return (
    <Confirm title="Run this schedule now?" action="Run now" onConfirm={run} onClose={onClose}>
      <p>A job is made at once, in the name of {schedule.owner}, also if another one runs. The times stay as they are.</p>
      <AsCode
        cli={command("schedule", "run", schedule.name)}
        python={python(`client.schedules.run(${literal(schedule.name)})`)}
        curl={curl("POST", `/mlops/schedules/${schedule.name}/run`)}
      />
    </Confirm>
  );
}

function Pause({ schedule, onDone, onClose }: { schedule: ScheduleView; onDone: () => void; onClose: () => void }) {
  const path = { schedule_name: schedule.schedule_id };
  const paused = !schedule.paused;
  const word = paused ? "pause" : "resume";
  const change = async () => {
    await dataOf(api.PATCH("/mlops/schedules/{schedule_name}", { params: { path }, body: { paused } as never }));
    onDone();
  };
  return (
    <Confirm title={paused ? "Pause this schedule?" : "Resume this schedule?"} action={paused ? "Pause" : "Resume"} onConfirm={change} onClose={onClose}>
      <p>{paused ? "It makes no jobs until it is resumed. Jobs that it has made go on." : "It goes on with the next moment. Those of the pause do not come again."}</p>
      <AsCode
        cli={command("schedule", word, schedule.name)}
        python={python(`client.schedules.${word}(${literal(schedule.name)})`)}
        curl={curl("PATCH", `/mlops/schedules/${schedule.name}`, { paused })}
      />
    </Confirm>
  );
}

function Delete({ schedule, onClose }: { schedule: ScheduleView; onClose: () => void }) {
  const path = { schedule_name: schedule.schedule_id };
  const remove = async () => {
    await dataOf(api.DELETE("/mlops/schedules/{schedule_name}", { params: { path } }));
    navigate(link("schedules"));
  };
  return (
    <Confirm title="Delete this schedule?" action="Delete" isDangerous onConfirm={remove} onClose={onClose}>
      <p>Its history is deleted with it. Its jobs stay, and go on.</p>
      <AsCode
        cli={command("schedule", "rm", schedule.name)}
        python={python(`client.schedules.delete(${literal(schedule.name)})`)}
        curl={curl("DELETE", `/mlops/schedules/${schedule.name}`)}
      />
    </Confirm>
  );
}
