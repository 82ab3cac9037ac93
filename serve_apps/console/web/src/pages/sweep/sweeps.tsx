/** All sweeps, newest first. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import { link, query } from "../../router";
import { shortId } from "../../ui/format";
import { Ago, Empty, Failure, Loading, PageHead, Pages } from "../../ui/parts";
import { State } from "../../ui/state";
import { countsOf } from "./sweep";

export function SweepsPage() {
  const cursor = query.value.get("after") ?? "";
  const { data, error } = usePoll(
    `sweeps ${cursor}`,
    (call) => api.GET("/mlops/training/sweeps", { ...call, params: { query: { limit: 50, ...(cursor && { cursor }) } } }),
    3,
  );
  return (
    <>
      <PageHead title="Sweeps" />
      {error && <Failure error={error} what="list of sweeps" />}
      {!data && !error && <Loading />}
      {data && !data.sweeps.length && (
        <Empty title="No sweeps yet">
          <p>A sweep runs one script for each combination of values, and finds the best by a metric.</p>
          <a class="button primary" href={link("new")}>
            New job
          </a>
        </Empty>
      )}
      {data && data.sweeps.length > 0 && (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th class="col-state">State</th>
                <th>Sweep</th>
                <th>Parameters</th>
                <th>Decides</th>
                <th>Jobs</th>
                <th class="right">Created</th>
              </tr>
            </thead>
            <tbody>
              {data.sweeps.map((sweep) => (
                <tr key={sweep.sweep_id}>
                  <td class="col-state">
                    <State state={sweep.status} />
                  </td>
                  <td>
                    <a href={link("sweeps", sweep.sweep_id)} data-row>
                      {sweep.model_name ?? sweep.experiment_name}
                    </a>{" "}
                    <span class="muted">
                      {sweep.script_name} · {shortId(sweep.sweep_id)}
                    </span>
                  </td>
                  <td>
                    {Object.entries(sweep.parameters)
                      .map(([name, values]) => `${name} × ${values.length}`)
                      .join(", ")}
                  </td>
                  <td>{sweep.metric ? `${sweep.metric}, the ${sweep.mode === "max" ? "largest" : "smallest"}` : "—"}</td>
                  <td class="number">{countsOf(sweep)}</td>
                  <td class="right number nowrap">
                    <Ago at={sweep.created_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data && <Pages cursor={cursor} next={data.next_cursor} older="Older sweeps" />}
    </>
  );
}
