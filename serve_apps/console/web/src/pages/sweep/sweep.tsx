/** One sweep: which parameters are best. Its table and its parallel coordinates choose for each other. */
import { useState } from "preact/hooks";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { SweepRow, SweepView } from "../../api/types";
import { link, query, setQuery } from "../../router";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { duration, metric, plural, shortId, words } from "../../ui/format";
import { Ago, Facts, Failure, Loading, PageHead } from "../../ui/parts";
import { command, curl, literal, python } from "../../ui/snippets";
import { State } from "../../ui/state";
import { type Axis, axesOf, type Brushes, isChosen, placeOf, ranked, readBrushes, written } from "./coordinates";
import { Parallel } from "./parallel";

export function SweepPage({ id }: { id: string }) {
  const [isFinal, setFinal] = useState(false);
  const path = { sweep_id: id };
  const { data, error, refresh } = usePoll(
    `sweep ${id}`,
    (call) => api.GET("/mlops/training/sweeps/{sweep_id}", { ...call, params: { path } }),
    isFinal ? 30 : 2,
  );
  if (data && (data.finished_at !== null) !== isFinal) setFinal(data.finished_at !== null);
  if (error) return <Failure error={error} what="sweep" />;
  if (!data) return <Loading />;
  return (
    <>
      <PageHead
        above={<a href={link("sweeps")}>Sweeps</a>}
        title={data.model_name ?? data.experiment_name}
        beside={<State state={data.status} detail={countsOf(data)} />}
        actions={<CancelSweep sweep={data} onDone={refresh} />}
      />
      {data.message && <p class={`reason reason-${data.status}`}>{data.message}</p>}
      <Facts
        items={[
          ["Jobs", plural(data.jobs.length, "job")],
          ["Best", data.best && data.metric ? <Best row={data.best} metric={data.metric} /> : "—"],
          ["Decides", data.metric ? `${data.metric}, the ${data.mode === "max" ? "largest" : "smallest"}` : "no metric"],
          ["Registers", data.register === "best" ? "the best job's model" : "each job's model"],
          ["At a time", data.max_parallel === null ? "as many as fit" : plural(data.max_parallel, "job")],
          ["Passed as", data.as === "arguments" ? "arguments --NAME VALUE" : "environment variables"],
          ["Created", <Ago at={data.created_at} />],
        ]}
      />
      <Chooser sweep={data} />
    </>
  );
}

export function countsOf(sweep: { counts: Record<string, number> }): string {
  return Object.entries(sweep.counts)
    .filter(([, count]) => count)
    .map(([name, count]) => `${count} ${name}`)
    .join(", ");
}

function Best({ row, metric: name }: { row: SweepRow; metric: string }) {
  const values = Object.entries(row.parameters).map(([parameter, value]) => `${parameter}=${value}`);
  return (
    <a href={link("jobs", row.job_id)} title={values.join(" ")}>
      {metric(numeric(row.metrics[name]))}
    </a>
  );
}

function numeric(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

function Chooser({ sweep }: { sweep: SweepView }) {
  const [hovered, setHovered] = useState<string>();
  const axes = axesOf(sweep);
  const brushes = readBrushes(query.value.get("brush") ?? "");
  const setBrushes = (changed: Brushes) => setQuery({ brush: written(changed) || null });
  const rows = ranked(sweep);
  const best = sweep.best?.job_id;
  const chosen = rows.filter((row) => row.job_id === best || isChosen(row, axes, brushes));
  const count = rows.filter((row) => isChosen(row, axes, brushes)).length;
  const isBrushed = Object.keys(brushes).length > 0;
  return (
    <>
      <div class="bar">
        <span class="muted">
          {isBrushed ? `${count} of ${plural(rows.length, "job")} chosen` : "Drag along an axis, or press a value in the table, to choose jobs"}
        </span>
        {isBrushed && (
          <button type="button" class="quiet" onClick={() => setBrushes({})}>
            Choose all
          </button>
        )}
      </div>
      <div class="sweep">
        <SweepTable axes={axes} rows={chosen} best={best} hovered={hovered} onHover={setHovered} onChoose={(axis, row) => setBrushes(toggled(brushes, axis, row))} />
        {axes.length > 1 && (
          <Parallel axes={axes} rows={rows} best={best} hovered={hovered} brushes={brushes} onBrush={setBrushes} onHover={setHovered} />
        )}
      </div>
    </>
  );
}

/** Choose the jobs that share this row's value; again: all. */
function toggled(brushes: Brushes, axis: Axis, row: SweepRow): Brushes {
  const place = placeOf(row, axis);
  const { [axis.name]: before, ...others } = brushes;
  if (place === undefined || (before && Math.abs(before[0] - place) < 0.002 && Math.abs(before[1] - place) < 0.002)) return others;
  return { ...others, [axis.name]: [place, place] };
}

interface TableProps {
  axes: Axis[];
  rows: SweepRow[];
  best: string | undefined;
  hovered: string | undefined;
  onHover: (id: string | undefined) => void;
  onChoose: (axis: Axis, row: SweepRow) => void;
}

function SweepTable({ axes, rows, best, hovered, onHover, onChoose }: TableProps) {
  return (
    <div class="table-box sweep-table" tabIndex={0} aria-label="Jobs of the sweep">
      <table>
        <thead>
          <tr>
            <th class="col-state">State</th>
            {axes.map((axis) => (
              <th key={axis.name} class={axis.isMetric ? "right" : undefined}>
                {axis.name}
              </th>
            ))}
            <th class="right">Ran</th>
            <th class="right">Job</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr
              key={row.job_id}
              class={[row.job_id === best ? "best" : "", row.job_id === hovered ? "hovered" : ""].join(" ")}
              onPointerEnter={() => onHover(row.job_id)}
              onPointerLeave={() => onHover(undefined)}
            >
              <td class="col-state" title={row.reason ? `${words(row.reason)} ${row.message ?? ""}` : undefined}>
                <State state={row.status} word={row.job_id === best ? "best" : undefined} />
              </td>
              {axes.map((axis) =>
                axis.isMetric ? (
                  <td key={axis.name} class="right number">
                    {typeof row.metrics[axis.name] === "number" ? metric(row.metrics[axis.name] as number) : "—"}
                  </td>
                ) : (
                  <td key={axis.name}>
                    <button type="button" class="as-link value" onClick={() => onChoose(axis, row)} title="Choose the jobs with this value">
                      {row.parameters[axis.name]}
                    </button>
                  </td>
                ),
              )}
              <td class="right number nowrap">{duration(row.duration_seconds)}</td>
              <td class="right">
                <a href={link("jobs", row.job_id)} data-row>
                  {shortId(row.job_id)}
                </a>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function CancelSweep({ sweep, onDone }: { sweep: SweepView; onDone: () => void }) {
  const [isAsked, ask] = useState(false);
  const right = useRight("submit");
  if (sweep.finished_at !== null) return null;
  const path = { sweep_id: sweep.sweep_id };
  const cancel = async () => {
    await dataOf(api.POST("/mlops/training/sweeps/{sweep_id}/cancel", { params: { path } }));
    onDone();
  };
  return (
    <>
      <button type="button" disabled={!right.isGiven} title={right.why} onClick={() => ask(true)}>
        Cancel
      </button>
      {isAsked && (
        <Confirm title="Cancel this sweep?" action="Cancel all its jobs" isDangerous onConfirm={cancel} onClose={() => ask(false)}>
          <p>Jobs that have ended stay as they are.</p>
          <AsCode
            cli={command("sweeps", "cancel", sweep.sweep_id)}
            python={python(`client.sweeps.get(${literal(sweep.sweep_id)}).cancel()`)}
            curl={curl("POST", `/mlops/training/sweeps/${sweep.sweep_id}/cancel`)}
          />
        </Confirm>
      )}
    </>
  );
}
