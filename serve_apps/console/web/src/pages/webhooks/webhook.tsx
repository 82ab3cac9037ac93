/** One webhook: what it gets, its deliveries, and what can be done with it. */
import { useState } from "preact/hooks";
import { hasKey } from "../../access/key";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { WebhookView } from "../../api/types";
import { link, navigate } from "../../router";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { moment, plural } from "../../ui/format";
import { Ago, Facts, Failure, Loading, PageHead } from "../../ui/parts";
import { command, curl, literal, python } from "../../ui/snippets";
import { Deliveries } from "./deliveries";
import { Edit } from "./edit";
import { Secret } from "./secret";
import { About, Patterns, WebhookState } from "./webhooks";

const FORMATS: Record<WebhookView["format"], string> = {
  standard: "Standard Webhooks, signed",
  cloudevents: "CloudEvents 1.0, signed",
  apprise: "messages to people (Apprise)",
};

export function WebhookPage({ id }: { id: string }) {
  const path = { webhook_name: id };
  const { data, error, refresh } = usePoll(`webhook ${id}`, (call) => api.GET("/mlops/webhooks/{webhook_name}", { ...call, params: { path } }), 3);
  return (
    <>
      <PageHead
        title={data?.name ?? "Webhook"}
        above={<a href={link("webhooks")}>Webhooks</a>}
        beside={data && <WebhookState webhook={data} />}
        actions={data && <Actions webhook={data} onDone={refresh} />}
      />
      {error && <Failure error={error} what="webhook" />}
      {!data && !error && <Loading />}
      {data && (
        <>
          <WebhookFacts webhook={data} />
          <DeadLetters webhook={data} onDone={refresh} />
          <h2>Deliveries</h2>
          <Deliveries webhook={data} onDone={refresh} />
        </>
      )}
    </>
  );
}

function WebhookFacts({ webhook }: { webhook: WebhookView }) {
  return (
    <Facts
      items={[
        ["Address", <span class="target">{webhook.url}</span>],
        ["Form", FORMATS[webhook.format]],
        ["Events", <Patterns of={webhook.events} all="all" />],
        ["Only about", <About webhook={webhook} />],
        ["To be sent", plural(webhook.pending, "delivery", "deliveries")],
        ...(webhook.former_secret_until
          ? ([["Former secret", <>also signs until <time dateTime={webhook.former_secret_until}>{moment(webhook.former_secret_until)}</time></>]] as [string, preact.ComponentChildren][])
          : []),
        ["Changed", <><Ago at={webhook.updated_at} /> by {webhook.updated_by}</>],
        ...(hasKey() ? ([["Workspace", webhook.workspace]] as [string, string][]) : []),
      ]}
    />
  );
}

function DeadLetters({ webhook, onDone }: { webhook: WebhookView; onDone: () => void }) {
  const [isAsked, ask] = useState(false);
  const right = useRight("submit");
  if (!webhook.dead) return null;
  const path = { webhook_name: webhook.webhook_id };
  const send = async () => {
    await dataOf(api.POST("/mlops/webhooks/{webhook_name}/redeliver", { params: { path } }));
    onDone();
  };
  return (
    <div class="reason reason-failed bar">
      <p>
        {plural(webhook.dead, "delivery was", "deliveries were")} given up: the receiver did not take {webhook.dead === 1 ? "it" : "them"} in time.
      </p>
      <button type="button" disabled={!right.isGiven} title={right.why} onClick={() => ask(true)}>
        Deliver all again
      </button>
      {isAsked && (
        <Confirm title={`Deliver ${plural(webhook.dead, "dead letter")} again?`} action="Deliver again" onConfirm={send} onClose={() => ask(false)}>
          <p>Each is sent at once, with the webhook-id that it had: a receiver that remembers ids takes none twice.</p>
          <AsCode
            cli={command("webhooks", "redeliver", webhook.name)}
            python={python(`client.webhooks.redeliver(${literal(webhook.name)})`)}
            curl={curl("POST", `/mlops/webhooks/${webhook.name}/redeliver`)}
          />
        </Confirm>
      )}
    </div>
  );
}

type Asked = "edit" | "test" | "pause" | "rotate" | "delete" | undefined;

function Actions({ webhook, onDone }: { webhook: WebhookView; onDone: () => void }) {
  const [asked, ask] = useState<Asked>();
  const [secret, setSecret] = useState<string>();
  const right = useRight("submit");
  const close = () => ask(undefined);
  const offered: [Exclude<Asked, undefined>, string][] = [
    ["edit", "Change"],
    ["test", "Send a test"],
    ["pause", webhook.paused ? "Resume" : "Pause"],
    ...(webhook.format === "apprise" ? [] : ([["rotate", "New secret"]] as ["rotate", string][])),
    ["delete", "Delete"],
  ];
  return (
    <>
      {offered.map(([action, label]) => (
        <button
          key={action}
          type="button"
          class={action === "delete" ? "quiet" : undefined}
          disabled={!right.isGiven || (action === "test" && webhook.paused)}
          title={right.why ?? (action === "test" && webhook.paused ? "Nothing is sent while it is paused." : undefined)}
          onClick={() => ask(action)}
        >
          {label}
        </button>
      ))}
      {asked === "edit" && <Edit webhook={webhook} onDone={onDone} onClose={close} />}
      {asked === "test" && <Test webhook={webhook} onDone={onDone} onClose={close} />}
      {asked === "pause" && <Pause webhook={webhook} onDone={onDone} onClose={close} />}
      {asked === "rotate" && <Rotate webhook={webhook} onSecret={setSecret} onDone={onDone} onClose={close} />}
      {asked === "delete" && <Delete webhook={webhook} onClose={close} />}
      {secret && <Secret name={webhook.name} secret={secret} onClose={() => setSecret(undefined)} />}
    </>
  );
}

interface ActionProps {
  webhook: WebhookView;
  onDone: () => void;
  onClose: () => void;
}

function Test({ webhook, onDone, onClose }: ActionProps) {
  const path = { webhook_name: webhook.webhook_id };
  const send = async () => {
    await dataOf(api.POST("/mlops/webhooks/{webhook_name}/test", { params: { path } }));
    onDone();
  };
  return (
    <Confirm title="Send a test event?" action="Send a test" onConfirm={send} onClose={onClose}>
      <p>It is delivered as any other: signed, and again until the receiver takes it. Its answer appears in the list below.</p>
      <AsCode
        cli={command("webhooks", "test", webhook.name)}
        python={python(`print(client.webhooks.test(${literal(webhook.name)}).last_status_code)`)}
        curl={curl("POST", `/mlops/webhooks/${webhook.name}/test`)}
      />
    </Confirm>
  );
}

function Pause({ webhook, onDone, onClose }: ActionProps) {
  const path = { webhook_name: webhook.webhook_id };
  const paused = !webhook.paused;
  const word = paused ? "pause" : "resume";
  const change = async () => {
    await dataOf(api.PATCH("/mlops/webhooks/{webhook_name}", { params: { path }, body: { paused } as never }));
    onDone();
  };
  return (
    <Confirm title={paused ? "Pause this webhook?" : "Resume this webhook?"} action={paused ? "Pause" : "Resume"} onConfirm={change} onClose={onClose}>
      <p>
        {paused
          ? "Nothing is recorded and nothing is sent until it is resumed. Events of the pause are not sent later."
          : "It gets the events from now on, and what was pending before the pause. Events of the pause are not sent."}
      </p>
      <AsCode
        cli={command("webhooks", word, webhook.name)}
        python={python(`client.webhooks.update(${literal(webhook.name)}, paused=${literal(paused)})`)}
        curl={curl("PATCH", `/mlops/webhooks/${webhook.name}`, { paused })}
      />
    </Confirm>
  );
}

function Rotate({ webhook, onSecret, onDone, onClose }: ActionProps & { onSecret: (secret: string) => void }) {
  const path = { webhook_name: webhook.webhook_id };
  const [hours, setHours] = useState("24");
  const grace_hours = Number(hours);
  const rotate = async () => {
    const made = await dataOf(api.POST("/mlops/webhooks/{webhook_name}/rotate", { params: { path }, body: { grace_hours } }));
    if (made.secret) onSecret(made.secret);
    onDone();
  };
  return (
    <Confirm title="Make a new secret?" action="Make it" onConfirm={rotate} onClose={onClose}>
      <p>Messages are signed with both secrets for some time. Change the receiver meanwhile.</p>
      <div class="field">
        <label for="grace">Hours with both; 0: the former one ends at once</label>
        <input id="grace" type="number" min="0" max="168" step="any" required value={hours} onInput={(event) => setHours(event.currentTarget.value)} />
      </div>
      <AsCode
        cli={command("webhooks", "rotate", webhook.name, "--grace-hours", hours)}
        python={python(`print(client.webhooks.rotate(${literal(webhook.name)}, grace_hours=${hours}).secret)`)}
        curl={curl("POST", `/mlops/webhooks/${webhook.name}/rotate`, { grace_hours })}
      />
    </Confirm>
  );
}

function Delete({ webhook, onClose }: { webhook: WebhookView; onClose: () => void }) {
  const path = { webhook_name: webhook.webhook_id };
  const remove = async () => {
    await dataOf(api.DELETE("/mlops/webhooks/{webhook_name}", { params: { path } }));
    navigate(link("webhooks"));
  };
  return (
    <Confirm title="Delete this webhook?" action="Delete" isDangerous onConfirm={remove} onClose={onClose}>
      <p>
        Its deliveries are deleted with it{webhook.pending > 0 && <>: {plural(webhook.pending, "pending one is", "pending ones are")} not sent</>}. A new webhook has another secret.
      </p>
      <AsCode
        cli={command("webhooks", "delete", webhook.name)}
        python={python(`client.webhooks.delete(${literal(webhook.name)})`)}
        curl={curl("DELETE", `/mlops/webhooks/${webhook.name}`)}
      />
    </Confirm>
  );
}
