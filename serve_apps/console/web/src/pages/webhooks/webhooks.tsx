/** All webhooks by name, with what waits to be sent and what was given up. */
import { useRight } from "../../access/may";
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { WebhookView } from "../../api/types";
import { link } from "../../router";
import { grouped } from "../../ui/format";
import { Ago, Empty, Failure, Loading, PageHead } from "../../ui/parts";
import { State } from "../../ui/state";

export function WebhooksPage() {
  const { data, error } = usePoll("webhooks", (call) => api.GET("/mlops/webhooks", call), 3);
  return (
    <>
      <PageHead title="Webhooks" actions={<NewWebhook />} />
      {error && <Failure error={error} what="list of webhooks" />}
      {!data && !error && <Loading />}
      {data && !data.webhooks.length && (
        <Empty title="No webhooks yet">
          <p>A webhook tells another program, or people, what happens here: a job failed, a version is ready, an alias moved.</p>
          <NewWebhook />
        </Empty>
      )}
      {data && data.webhooks.length > 0 && (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th class="col-state">State</th>
                <th>Webhook</th>
                <th>Events</th>
                <th>Only about</th>
                <th class="right">Pending</th>
                <th class="right">Dead</th>
                <th class="right">Changed</th>
              </tr>
            </thead>
            <tbody>
              {data.webhooks.map((webhook) => (
                <tr key={webhook.webhook_id}>
                  <td class="col-state">
                    <WebhookState webhook={webhook} />
                  </td>
                  <td>
                    <a href={link("webhooks", webhook.webhook_id)} data-row>
                      {webhook.name}
                    </a>{" "}
                    <span class="muted target">{webhook.url}</span>
                  </td>
                  <td>
                    <Patterns of={webhook.events} all="all" />
                  </td>
                  <td>
                    <About webhook={webhook} />
                  </td>
                  <td class="right number">{grouped(webhook.pending)}</td>
                  <td class={`right number ${webhook.dead ? "tone-bad" : "muted"}`}>{grouped(webhook.dead)}</td>
                  <td class="right number nowrap" title={`by ${webhook.updated_by}`}>
                    <Ago at={webhook.updated_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

export function WebhookState({ webhook }: { webhook: WebhookView }) {
  if (!webhook.paused) return <State state="ready" word="active" />;
  return webhook.message ? <State state="unhealthy" word="paused" detail={webhook.message} /> : <State state="stopped" word="paused" />;
}

export function Patterns({ of, all }: { of: string[]; all: string }) {
  if (!of.length || of.includes("*")) return <span class="muted">{all}</span>;
  return (
    <>
      {of.map((pattern) => (
        <code key={pattern} class="tag">
          {pattern}
        </code>
      ))}
    </>
  );
}

/** The further conditions; an event must meet all of them. */
export function About({ webhook }: { webhook: WebhookView }) {
  const lists: [string, string[]][] = [
    ["models", webhook.models],
    ["experiments", webhook.experiments],
    ["owners", webhook.owners],
  ];
  const given = lists.filter(([, patterns]) => patterns.length);
  if (!given.length) return <span class="muted">no condition</span>;
  return (
    <>
      {given.map(([name, patterns]) => (
        <div key={name}>
          <span class="muted">{name}</span> <Patterns of={patterns} all="any" />
        </div>
      ))}
    </>
  );
}

function NewWebhook() {
  const right = useRight("submit");
  if (!right.isGiven) return null;
  return (
    <a class="button" href={link("webhooks", "new")}>
      New webhook
    </a>
  );
}
