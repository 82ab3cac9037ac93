/** Every transition with its time and reason, and every attempt with its end. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { AttemptView, EventView, JobView } from "../../api/types";
import { bytes, clock, duration, moment, words } from "../../ui/format";
import { Loading } from "../../ui/parts";
import { StateIcon } from "../../ui/state";

export function HistoryTab({ job }: { job: JobView }) {
  const params = { path: { job_id: job.job_id } };
  const seconds = job.finished_at ? 0 : 3;
  const events = usePoll(`events ${job.job_id}`, (call) => api.GET("/mlops/training/jobs/{job_id}/events", { ...call, params }), seconds);
  const attempts = usePoll(`attempts ${job.job_id}`, (call) => api.GET("/mlops/training/jobs/{job_id}/attempts", { ...call, params }), seconds);
  return (
    <>
      <h2>Attempts</h2>
      {attempts.data ? <Attempts attempts={attempts.data.attempts} /> : <Loading />}
      <h2>Events</h2>
      {events.data ? <Events events={events.data.events} /> : <Loading />}
    </>
  );
}

function Attempts({ attempts }: { attempts: AttemptView[] }) {
  if (!attempts.length) return <p class="muted">None yet: the job waits.</p>;
  return (
    <div class="table-box">
      <table>
        <thead>
          <tr>
            <th>Attempt</th>
            <th>Started</th>
            <th class="right">Took</th>
            <th class="right">Peak memory</th>
            <th class="right">CPU time</th>
            <th class="right">Exit code</th>
            <th>End</th>
          </tr>
        </thead>
        <tbody>
          {attempts.map((attempt) => (
            <tr key={attempt.number}>
              <td class="number">{attempt.number}</td>
              <td class="number nowrap">{attempt.started_at ? moment(attempt.started_at) : "not started"}</td>
              <td class="right number nowrap">{attempt.usage ? duration(attempt.usage.wall_seconds) : "—"}</td>
              <td class="right number nowrap">{attempt.usage ? bytes(attempt.usage.peak_memory_bytes) : "—"}</td>
              <td class="right number nowrap">{attempt.usage ? duration(attempt.usage.cpu_seconds) : "—"}</td>
              <td class="right number">{attempt.exit_code ?? "—"}</td>
              <td>
                {attempt.reason && <b>{words(attempt.reason)} </b>}
                <span class="muted">{attempt.message}</span>
                {!attempt.reason && !attempt.message && (attempt.finished_at ? "done" : "not ended")}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Events({ events }: { events: EventView[] }) {
  return (
    <ol class="events">
      {events.map((event, index) => (
        <li key={index}>
          <time class="number muted" dateTime={event.at} title={moment(event.at)}>
            {clock(event.at)}
          </time>
          <StateIcon state={event.status} />
          <span>
            <b>{words(event.after)}</b>
            {event.attempt > 1 && <span class="muted"> attempt {event.attempt}</span>}
            {event.reason && <span> · {words(event.reason)}</span>}
            {event.message && <span class="muted"> {event.message}</span>}
          </span>
        </li>
      ))}
    </ol>
  );
}
