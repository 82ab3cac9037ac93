/** All batches, newest first, with their progress. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { BatchSummary } from "../../api/types";
import { link, query } from "../../router";
import { duration, grouped, shortId, words } from "../../ui/format";
import { AsCode } from "../../ui/as_code";
import { Ago, Empty, Failure, Loading, PageHead, Pages } from "../../ui/parts";
import { command, curl, python } from "../../ui/snippets";
import { State } from "../../ui/state";
import { rejectedOf, rowsOf } from "./progress";

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
          <p>A batch predicts for all rows of files, in the background.</p>
          <AsCode
            cli={command("batch", "churn", "--input", "data.parquet", "--output", "scored.parquet")}
            python={python('client.batches.run("churn", "data.parquet", "scored.parquet")')}
            curl={curl("POST", "/mlops/batches", { model_name: "churn", input: "/data/rows.parquet", output: "/data/scored.parquet" })}
          />
        </Empty>
      )}
      {data && data.batches.length > 0 && (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th class="col-state">State</th>
                <th>Batch</th>
                <th>Progress</th>
                <th class="right">Rejected</th>
                <th class="right">Took</th>
                <th>Owner</th>
                <th class="right">Created</th>
              </tr>
            </thead>
            <tbody>
              {data.batches.map((batch) => (
                <tr key={batch.batch_id}>
                  <td class="col-state">
                    <State state={batch.status} />
                  </td>
                  <td class="col-name">
                    <a href={link("batches", batch.batch_id)} data-row>
                      {batch.model_name} v{batch.model_version}
                    </a>
                    <span class="muted ellipsis">
                      {batch.input && `${batch.input} · `}
                      {shortId(batch.batch_id)}
                    </span>
                  </td>
                  <td class="number">
                    <Progress batch={batch} />
                  </td>
                  <td class={rejectedOf(batch) ? "right number" : "right number muted"}>{grouped(rejectedOf(batch))}</td>
                  <td class="right number nowrap">{duration(batch.duration_seconds)}</td>
                  <td>{batch.owner}</td>
                  <td class="right number nowrap">
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

/** Rows so far; of a batch that waits or failed its reason. */
function Progress({ batch }: { batch: BatchSummary }) {
  if (batch.status === "completed" || batch.status === "running" || !batch.reason) return <>{rowsOf(batch)}</>;
  return (
    <span class="why" title={batch.message ?? undefined}>
      <b>{words(batch.reason)}</b>
      {batch.message && <span class="muted">: {batch.message}</span>}
    </span>
  );
}
