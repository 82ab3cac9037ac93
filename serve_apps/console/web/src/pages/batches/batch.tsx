/** One batch: its progress, its result, and its files. Log, usage and cancellation are on the page of its job. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { BatchView } from "../../api/types";
import { link } from "../../router";
import { AsCode } from "../../ui/as_code";
import { duration, grouped } from "../../ui/format";
import { Ago, Facts, Failure, Loading, PageHead } from "../../ui/parts";
import { command, curl, literal, python } from "../../ui/snippets";
import { State } from "../../ui/state";
import { rowsOf, shareOf } from "./progress";

export function BatchPage({ id }: { id: string }) {
  const path = { batch_id: id };
  const { data, error } = usePoll(`batch ${id}`, (call) => api.GET("/mlops/batches/{batch_id}", { ...call, params: { path } }), 2);
  return (
    <>
      <PageHead
        above={<a href={link("batches")}>Batches</a>}
        title={data ? `${data.model_name} version ${data.model_version}` : "Batch"}
        beside={data && <State state={data.status} />}
        actions={data && <Files batch={data} />}
      />
      {error && <Failure error={error} what="batch" />}
      {!data && !error && <Loading />}
      {data && <Details batch={data} />}
    </>
  );
}

function Files({ batch }: { batch: BatchView }) {
  return (
    <>
      {batch.links.output && (
        <a class="button primary" href={batch.links.output} download>
          Download the output
        </a>
      )}
      {batch.links.rejected && (
        <a class="button" href={batch.links.rejected} download>
          Rejected rows
        </a>
      )}
      <a class="button" href={link("jobs", batch.batch_id)}>
        Job and log
      </a>
    </>
  );
}

function Details({ batch }: { batch: BatchView }) {
  const share = shareOf(batch);
  return (
    <>
      {batch.message && <p>{batch.message}</p>}
      {batch.finished_at === null && <progress value={share} max={1} aria-label="Rows that are scored" />}
      <Facts
        items={[
          ["Rows", rowsOf(batch)],
          ["Rejected", <Rejected batch={batch} />],
          ["Parts", batch.progress ? `${batch.progress.parts} of ${batch.progress.parts_total}` : "—"],
          ["Input", batch.input ?? batch.uploads.join(", ")],
          ["Output", batch.result?.output ?? batch.output ?? "kept for a download"],
          ["Format", batch.output_format],
          ["Alias", batch.alias ?? "—"],
          ["On error", batch.on_error],
          ["Owner", batch.owner],
          ["Attempt", String(batch.attempt)],
          ["Begun", <Ago at={batch.created_at} />],
          ["Took", duration(batch.duration_seconds)],
        ]}
      />
      <AsCode
        cli={command("batches", "show", batch.batch_id)}
        python={python(`client.batches.get(${literal(batch.batch_id)}).view`)}
        curl={curl("GET", `/mlops/batches/${batch.batch_id}`)}
      />
    </>
  );
}

function Rejected({ batch }: { batch: BatchView }) {
  const count = batch.result?.rejected ?? batch.progress?.rejected ?? 0;
  return (
    <>
      {grouped(count)} {batch.result?.rejected_output && <code>{batch.result.rejected_output}</code>}
    </>
  );
}
