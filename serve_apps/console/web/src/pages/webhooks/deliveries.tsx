/** Deliveries of a webhook, newest first: attempts, answers, and another try. */
import { useState } from "preact/hooks";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { DeliveryView, WebhookView } from "../../api/types";
import { query, withQuery } from "../../router";
import { AsCode } from "../../ui/as_code";
import { now } from "../../ui/clock";
import { Confirm, Dialog } from "../../ui/dialog";
import { moment, shortId, until } from "../../ui/format";
import { Ago, Copy, Empty, Facts, Failure, Loading, Pages } from "../../ui/parts";
import { command, curl, literal, python } from "../../ui/snippets";
import { State } from "../../ui/state";
import { pageOf } from "./draft";

const STATUSES = ["pending", "delivered", "dead"] as const;
const LOOKS: Record<DeliveryView["status"], string> = { pending: "queued", delivered: "completed", dead: "failed" };

export function Deliveries({ webhook, onDone }: { webhook: WebhookView; onDone: () => void }) {
  const cursor = query.value.get("after") ?? "";
  const status = STATUSES.find((each) => each === query.value.get("status"));
  const path = { webhook_name: webhook.webhook_id };
  const { data, error, refresh } = usePoll(
    `deliveries ${webhook.webhook_id} ${status} ${cursor}`,
    (call) =>
      api.GET("/mlops/webhooks/{webhook_name}/deliveries", {
        ...call,
        params: { path, query: { limit: 50, ...(status && { status }), ...(cursor && { cursor }) } },
      }),
    3,
  );
  const [shown, show] = useState<DeliveryView>();
  const [again, setAgain] = useState<DeliveryView>();
  const right = useRight("submit");
  const isDone = () => {
    refresh();
    onDone();
  };
  return (
    <>
      <nav class="chips filters" aria-label="Status">
        <a class={`chip ${status ? "" : "on"}`} aria-current={status ? undefined : "true"} href={withQuery({ status: null, after: null })}>
          all
        </a>
        {STATUSES.map((each) => (
          <a key={each} class={`chip ${status === each ? "on" : ""}`} aria-current={status === each ? "true" : undefined} href={withQuery({ status: each, after: null })}>
            {each} {each !== "delivered" && <span class="number">{webhook[each]}</span>}
          </a>
        ))}
      </nav>
      {error && <Failure error={error} what="list of deliveries" />}
      {!data && !error && <Loading />}
      {data && !data.deliveries.length && (
        <Empty title={status ? `No delivery is ${status}` : "Nothing was sent yet"}>
          {!status && <p>Events appear here when they happen. “Send a test” tells whether the receiver answers.</p>}
        </Empty>
      )}
      {data && data.deliveries.length > 0 && (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th class="col-state">Status</th>
                <th>Event</th>
                <th>About</th>
                <th class="right">Attempts</th>
                <th>Last answer</th>
                <th class="right">Happened</th>
                <th>
                  <span class="unseen">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.deliveries.map((item) => (
                <tr key={item.delivery_id}>
                  <td class="col-state">
                    <State state={LOOKS[item.status]} word={item.status} detail={nextTry(item)} />
                  </td>
                  <td>
                    <button type="button" class="as-link" data-row onClick={() => show(item)}>
                      {item.event_type}
                    </button>
                  </td>
                  <td>
                    <Subject item={item} />
                  </td>
                  <td class="right number">{item.attempts}</td>
                  <td>
                    <Answer item={item} />
                  </td>
                  <td class="right number nowrap">
                    <Ago at={item.occurred_at} />
                  </td>
                  <td class="right">
                    <button type="button" class="quiet" disabled={!right.isGiven} title={right.why} onClick={() => setAgain(item)}>
                      Deliver again
                    </button>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data && <Pages cursor={cursor} next={data.next_cursor} older="Older deliveries" />}
      {shown && <Content item={shown} onClose={() => show(undefined)} />}
      {again && <Again webhook={webhook} item={again} onDone={isDone} onClose={() => setAgain(undefined)} />}
    </>
  );
}

function nextTry(item: DeliveryView): string | undefined {
  return item.due_at && item.attempts ? `again ${until(item.due_at, now.value)}` : undefined;
}

function Subject({ item }: { item: DeliveryView }) {
  const to = pageOf(item);
  const text = item.subject.includes("_") && item.subject.length > 26 ? shortId(item.subject) : item.subject;
  return to ? <a href={to}>{text}</a> : <span class="muted">{item.event_type === "webhook.test" ? "this webhook" : text}</span>;
}

/** The receiver's answer in a line. */
function Answer({ item }: { item: DeliveryView }) {
  if (!item.attempts) return <span class="muted">not sent yet</span>;
  return (
    <span class="why">
      {item.last_status_code !== null && <b class="number">{item.last_status_code} </b>}
      <span class="muted">{(item.last_status_code === null ? item.last_error : item.last_answer) ?? ""}</span>
    </span>
  );
}

function Content({ item, onClose }: { item: DeliveryView; onClose: () => void }) {
  const content = JSON.stringify(item.data, null, 2);
  return (
    <Dialog title={item.event_type} onClose={onClose} wide>
      <Facts
        items={[
          ["webhook-id", <span class="identifier"><code>{item.delivery_id}</code><Copy text={item.delivery_id} label="the id" /></span>],
          ["Happened", moment(item.occurred_at)],
          ["Attempts", String(item.attempts)],
          ["Last attempt", item.last_attempt_at ? moment(item.last_attempt_at) : "—"],
          ["Next attempt", item.due_at ? until(item.due_at, now.value) : "none"],
          ["Answer", item.last_status_code === null ? "none" : String(item.last_status_code)],
        ]}
      />
      {item.last_error && <p class="field-error">{item.last_error}</p>}
      {item.last_answer && (
        <>
          <h2>Begin of the answer</h2>
          <pre class="lines" tabIndex={0} aria-label="Begin of the answer">
            {item.last_answer}
          </pre>
        </>
      )}
      <h2>Content</h2>
      <pre class="lines" tabIndex={0} aria-label="Content">
        {content}
      </pre>
      <div class="dialog-actions">
        <Copy text={content} label="the content" />
        <button type="button" onClick={onClose}>
          Back
        </button>
      </div>
    </Dialog>
  );
}

interface AgainProps {
  webhook: WebhookView;
  item: DeliveryView;
  onDone: () => void;
  onClose: () => void;
}

function Again({ webhook, item, onDone, onClose }: AgainProps) {
  const path = { webhook_name: webhook.webhook_id, delivery_id: item.delivery_id };
  const send = async () => {
    await dataOf(api.POST("/mlops/webhooks/{webhook_name}/deliveries/{delivery_id}/redeliver", { params: { path } }));
    onDone();
  };
  return (
    <Confirm title="Deliver this event again?" action="Deliver again" onConfirm={send} onClose={onClose}>
      <p>
        <code>{item.event_type}</code> is sent at once, with the same webhook-id: a receiver that remembers ids takes it once.
      </p>
      <AsCode
        cli={command("webhooks", "redeliver", webhook.name, item.delivery_id)}
        python={python(`client.webhooks.redeliver(${literal(webhook.name)}, ${literal(item.delivery_id)})`)}
        curl={curl("POST", `/mlops/webhooks/${webhook.name}/deliveries/${item.delivery_id}/redeliver`)}
      />
    </Confirm>
  );
}
