/** One batch: its progress, its result, and its files. Log, usage and cancellation are on the page of its job. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { BatchView } from "../../api/types";
import { link } from "../../router";
import { AsCode } from "../../ui/as_code";
import { duration, grouped, words } from "../../ui/format";
import { Ago, Facts, Failure, Loading, PageHead } from "../../ui/parts";
import { command, curl, literal, python } from "../../ui/snippets";
import { State } from "../../ui/state";
import { rejectedOf, rowsOf, shareOf } from "./progress";

export function BatchPage({ id }: { id: string }) {
  const path = { batch_id: id };
  const { data, error } = usePoll(`batch ${id}`, (call) => api.GET("/mlops/batches/{batch_id}", { ...call, params: { path } }), 2);
  return (
    <>
      <PageHead
        above={<a href={link("batches")}>Batches</a>}
        title={data ? `Batch of ${data.model_name} v${data.model_version}` : "Batch"}
        beside={data && <State state={data.status} />}
        actions={data && <Files batch={data} />}
      />
      {error && <Failure error={error} what="batch" />}
      {!data && !error && <Loading />}
      {data && <Details batch={data} />}
    </>
  );
}

const ON_ERROR: Record<string, string> = { fail: "fails the batch", skip: "is left out", null: "gets no prediction" };

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

/** Why it waits or failed; of a completed batch what came of it. */
function Reason({ batch }: { batch: BatchView }) {
  if (!batch.message) return null;
  if (batch.status === "completed" || !batch.reason) return <p>{batch.message}</p>;
  return (
    <section class={`reason reason-${batch.status}`} aria-label="Reason">
      <p>
        <b>{words(batch.reason)}</b>
      </p>
      <p class="reason-message">{batch.message}</p>
    </section>
  );
}

function Details({ batch }: { batch: BatchView }) {
  const share = shareOf(batch);
  return (
    <>
      <Reason batch={batch} />
      {batch.started_at !== null && batch.finished_at === null && <progress class="wide" value={share} max={1} aria-label="Rows that are scored" />}
      <Facts
        items={[
          ["Model version", <a href={link("models", batch.model_name, batch.model_version)}>{`${batch.model_name} v${batch.model_version}`}</a>],
          ["Rows", rowsOf(batch)],
          ["Rejected", <Rejected batch={batch} />],
          ...(batch.progress ? ([["Parts", `${batch.progress.parts} of ${batch.progress.parts_total}`]] as [string, string][]) : []),
          ["Input", batch.input ?? <>{batch.uploads.join(", ")} <span class="muted">uploaded</span></>],
          ["Output", batch.result?.output ?? batch.output ?? (batch.result ? "kept for a download" : "will be kept for a download")],
          ["Format", batch.output_format],
          ...(batch.alias ? ([["Named by alias", batch.alias]] as [string, string][]) : []),
          ["A row that fails", ON_ERROR[batch.on_error] ?? batch.on_error],
          ["Owner", batch.owner],
          ["Attempt", String(batch.attempt)],
          ["Created", <Ago at={batch.created_at} />],
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
  return (
    <>
      {grouped(rejectedOf(batch))} {batch.result?.rejected_output && <code>{batch.result.rejected_output}</code>}
    </>
  );
}
