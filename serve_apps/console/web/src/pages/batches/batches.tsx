/** All batches, newest first, with their progress. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import { link, query } from "../../router";
import { duration, shortId } from "../../ui/format";
import { Ago, Empty, Failure, Loading, PageHead, Pages } from "../../ui/parts";
import { State } from "../../ui/state";
import { rowsOf } from "./progress";

export function BatchesPage() {
  const cursor = query.value.get("after") ?? "";
  const { data, error } = usePoll(
    `batches ${cursor}`,
    (call) => api.GET("/mlops/batches", { ...call, params: { query: { limit: 50, ...(cursor && { cursor }) } } }),
    2,
  );
  return (
    <>
      <PageHead title="Batches" />
      {error && <Failure error={error} what="list of batches" />}
      {!data && !error && <Loading />}
      {data && !data.batches.length && (
        <Empty title="No batches yet">
          <p>
            A batch predicts for all rows of files: <code>raylift batch MODEL --input data.parquet --output scored.parquet</code>
          </p>
        </Empty>
      )}
      {data && data.batches.length > 0 && (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th class="col-state">State</th>
                <th>Batch</th>
                <th>Rows</th>
                <th>Took</th>
                <th>Owner</th>
                <th>Begun</th>
              </tr>
            </thead>
            <tbody>
              {data.batches.map((batch) => (
                <tr key={batch.batch_id}>
                  <td class="col-state">
                    <State state={batch.status} />
                  </td>
                  <td>
                    <a href={link("batches", batch.batch_id)} data-row>
                      {shortId(batch.batch_id)}
                    </a>{" "}
                    <span class="muted">
                      {batch.model_name} version {batch.model_version}
                    </span>
                  </td>
                  <td class="number nowrap">{rowsOf(batch)}</td>
                  <td class="number nowrap">{duration(batch.duration_seconds)}</td>
                  <td>{batch.owner}</td>
                  <td class="nowrap">
                    <Ago at={batch.created_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data && <Pages cursor={cursor} next={data.next_cursor} older="Older batches" />}
    </>
  );
}
