/** Drift and quality of one version: open alerts, the newest window beside the reference, and windows of quality. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { MonitorView } from "../../api/types";
import { grouped, moment, plural } from "../../ui/format";
import { Ago } from "../../ui/parts";
import { columnsOf, figureOf, markOf, type ScoreRow, scoresOf, sentenceOf } from "./drift";

const POLL_SECONDS = 10;

export function Monitor({ name, version }: { name: string; version: string }) {
  const params = { path: { name, version } };
  const { data } = usePoll(`monitor ${name} ${version}`, (call) => api.GET("/mlops/models/{name}/versions/{version}/monitor", { ...call, params }), POLL_SECONDS);
  if (!data) return null;
  const newest = data.windows[0];
  const scored = scoresOf(data.quality);
  return (
    <section aria-labelledby="drift">
      <h2 id="drift">Drift</h2>
      <p class="muted">{sentenceOf(data)}</p>
      {data.open_alerts.length > 0 && <Alerts alerts={data.open_alerts} />}
      {newest?.is_compared && <Window window={newest} />}
      {scored.length > 0 && <Quality rows={scored} />}
      {newest && !newest.is_compared && <p class="muted">{`The last window ended ${moment(newest.end)} with ${plural(newest.rows_sketched, "row")}, too few to compare.`}</p>}
    </section>
  );
}

function Alerts({ alerts }: { alerts: MonitorView["open_alerts"] }) {
  return (
    <>
      <p class="reason reason-failed">{plural(alerts.length, "open alert")}</p>
      <div class="table-box" tabIndex={0} role="region" aria-label="Open alerts">
        <table>
          <thead>
            <tr>
              <th scope="col">Column</th>
              <th scope="col">Check</th>
              <th scope="col" class="right">Value</th>
              <th scope="col" class="right">Limit</th>
              <th scope="col">Since</th>
            </tr>
          </thead>
          <tbody>
            {alerts.map((alert) => (
              <tr key={alert.alert_id}>
                <th scope="row">{alert.segment ? `${alert.feature}, ${alert.segment}` : alert.feature}</th>
                <td>{alert.check}</td>
                <td class="right number">{figureOf(alert.check, alert.value)}</td>
                <td class="right number">{figureOf(alert.check, alert.limit)}</td>
                <td>
                  <Ago at={alert.raised_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Window({ window }: { window: MonitorView["windows"][number] }) {
  return (
    <>
      <p class="muted">
        {`${moment(window.start)} to ${moment(window.end)}: ${grouped(window.rows_sketched)} of ${grouped(window.rows_seen)} rows compared with the training. PSI is the population stability index: 0 where values are distributed as in the training.`}
      </p>
      <div class="table-box" tabIndex={0} role="region" aria-label="Columns of the last window">
        <table>
          <thead>
            <tr>
              <th scope="col">Column</th>
              <th scope="col" class="right">Drift (PSI)</th>
              <th scope="col" class="right">Its limit</th>
              <th scope="col" class="right">Missing</th>
              <th scope="col" class="right">Unseen values</th>
              <th scope="col" class="right">Out of range</th>
            </tr>
          </thead>
          <tbody>
            {columnsOf(window.figures).map((figures) => (
              <tr key={`${figures.feature} ${figures.segment}`}>
                <th scope="row">{figures.segment ? `${figures.feature}, ${figures.segment}` : figures.feature}</th>
                <td class={`right number ${markOf(figures, "drift")}`}>{figureOf("drift", figures.psi)}</td>
                <td class="right number">{figureOf("drift", figures.psi_limit)}</td>
                <td class={`right number ${markOf(figures, "missing")}`}>{figureOf("missing", figures.missing)}</td>
                <td class={`right number ${markOf(figures, "unseen")}`}>{figureOf("unseen", figures.unseen)}</td>
                <td class={`right number ${markOf(figures, "range")}`}>{figureOf("range", figures.outside)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Quality({ rows }: { rows: ScoreRow[] }) {
  return (
    <>
      <h3>Quality from true values</h3>
      <table>
        <thead>
          <tr>
            <th scope="col">Window</th>
            <th scope="col" class="right">Rows</th>
            <th scope="col" class="right">True values</th>
            <th scope="col">Measure</th>
            <th scope="col" class="right">Value</th>
            <th scope="col" class="right">95 %</th>
            <th scope="col" class="right">AUC</th>
            <th scope="col" class="right">Log loss</th>
            <th scope="col" class="right">Calibration error</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={`${row.start} ${row.segment}`} class={row.isBeyond ? "reason-failed" : undefined}>
              <th scope="row">{row.segment ? `${moment(row.start)}, ${row.segment}` : moment(row.start)}</th>
              <td class="right number">{grouped(row.rows)}</td>
              <td class="right number">{grouped(row.known)}</td>
              <td>{row.measure}</td>
              <td class="right number">{row.value}</td>
              <td class="right number">{row.interval}</td>
              <td class="right number">{row.auc}</td>
              <td class="right number">{row.logLoss}</td>
              <td class="right number">{row.calibration}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
