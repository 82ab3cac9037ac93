/** All schedules by name, with their next moment and what became of the last one. */
import { useRight } from "../../access/may";
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import { link } from "../../router";
import { now } from "../../ui/clock";
import { moment, until, wallClock } from "../../ui/format";
import { Empty, Failure, Loading, PageHead } from "../../ui/parts";
import { State } from "../../ui/state";
import { Outcome } from "./outcome";

export function SchedulesPage() {
  const { data, error } = usePoll("schedules", (call) => api.GET("/mlops/schedules", call), 3);
  return (
    <>
      <PageHead title="Schedules" actions={<NewSchedule />} />
      {error && <Failure error={error} what="list of schedules" />}
      {!data && !error && <Loading />}
      {data && !data.schedules.length && <NoSchedules />}
      {data && data.schedules.length > 0 && (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th class="col-state">Last run</th>
                <th>Schedule</th>
                <th>Times</th>
                <th>Next run</th>
                <th>Owner</th>
              </tr>
            </thead>
            <tbody>
              {data.schedules.map((schedule) => (
                <tr key={schedule.schedule_id}>
                  <td class="col-state">
                    <Outcome run={schedule.last_run} />
                  </td>
                  <td>
                    <a href={link("schedules", schedule.schedule_id)} data-row>
                      {schedule.name}
                    </a>{" "}
                    <span class="muted">
                      {schedule.script_name} · {schedule.model_name ?? schedule.experiment_name}
                    </span>
                  </td>
                  <td class="nowrap">
                    <code>{schedule.cron}</code> <span class="muted">{schedule.timezone}</span>
                  </td>
                  <td class="number nowrap">
                    <Next at={schedule.next_runs[0]} isPaused={schedule.paused} />
                  </td>
                  <td>{schedule.owner}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

/** A moment in the schedule's own time; the browser's is its title. */
export function Next({ at, isPaused }: { at: string | undefined; isPaused: boolean }) {
  if (isPaused) return <State state="stopped" word="paused" />;
  if (!at) return <span class="muted">never</span>;
  return (
    <time dateTime={at} title={`${moment(at)} on this machine`}>
      {wallClock(at)} <span class="muted">{until(at, now.value)}</span>
    </time>
  );
}

function NewSchedule() {
  const right = useRight("submit");
  if (!right.isGiven) return null;
  return (
    <a class="button" href={link("schedules", "new")}>
      New schedule
    </a>
  );
}

function NoSchedules() {
  return (
    <Empty title="No schedules yet">
      <p>A schedule makes a job at the moments of a cron expression: of a script that you upload once, or of a job that you run again.</p>
      <NewSchedule />
    </Empty>
  );
}
