/** A new webhook: where events go, which ones, and those that it would get. */
import { useState } from "preact/hooks";
import { useRight } from "../../access/may";
import { ApiError, api, dataOf } from "../../api/client";
import type { NewWebhookView, WebhookCheck, WebhookView } from "../../api/types";
import { link, navigate } from "../../router";
import { AsCode } from "../../ui/as_code";
import { plural } from "../../ui/format";
import { PageHead } from "../../ui/parts";
import { useChecked } from "../new_job/checked";
import { jsonOf } from "../new_job/draft";
import { FormEnd } from "../new_job/form_end";
import { Field } from "../new_job/upload_fields";
import { bodyOf, CHOICES, codeOf, complaintOf, EMPTY, type WebhookDraft } from "./draft";
import { Secret } from "./secret";

const FORMATS: [WebhookView["format"], string][] = [
  ["standard", "Standard Webhooks: signed JSON for programs"],
  ["cloudevents", "CloudEvents 1.0, signed, too"],
  ["apprise", "A message to people: Slack, Teams, e-mail (admins)"],
];

const ABOUT: ["models" | "experiments" | "owners", string, string][] = [
  ["models", "Models", "churn*"],
  ["experiments", "Experiments", "nightly-*"],
  ["owners", "Owners of jobs", "ann"],
];

export function NewWebhookPage() {
  const [draft, setDraft] = useState<WebhookDraft>(EMPTY);
  const [error, setError] = useState<unknown>();
  const [isSending, setSending] = useState(false);
  const [made, setMade] = useState<NewWebhookView>();
  const change = (values: Partial<WebhookDraft>) => {
    setError(undefined);
    setDraft((before) => ({ ...before, ...values }));
  };
  const checked = useChecked<WebhookDraft, WebhookCheck>(draft, askedOf, "/mlops/webhooks?dry_run=true");
  const wrong = error instanceof ApiError ? error : checked.error;
  const complaint = (field: string) => complaintOf(wrong, field);
  const right = useRight("submit");
  const store = async (event: Event) => {
    event.preventDefault();
    if (isSending) return;
    setSending(true);
    setError(undefined);
    try {
      const stored = await dataOf(api.POST("/mlops/webhooks", { body: bodyOf(draft) as never }));
      if ("secret" in stored && stored.secret) setMade(stored);
      else if ("webhook_id" in stored) navigate(link("webhooks", stored.webhook_id));
    } catch (failure) {
      setError(failure);
      setSending(false);
    }
  };
  const isForPeople = draft.format === "apprise";
  return (
    <>
      <PageHead above={<a href={link("webhooks")}>Webhooks</a>} title="New webhook" />
      <form class="new-job-form" onSubmit={(event) => void store(event)} noValidate>
        <div>
          <fieldset>
            <legend>Where to</legend>
            <div class="field-row">
              <Field label="Name" name="name" error={complaint("name")}>
                <input id="name" value={draft.name} onInput={(event) => change({ name: event.currentTarget.value })} />
              </Field>
              <Field label="Form of the events" name="format" error={complaint("format")}>
                <select id="format" value={draft.format} onChange={(event) => change({ format: event.currentTarget.value as WebhookView["format"] })}>
                  {FORMATS.map(([value, label]) => (
                    <option key={value} value={value}>
                      {label}
                    </option>
                  ))}
                </select>
              </Field>
            </div>
            <Field
              label="Address"
              name="url"
              note={isForPeople ? "An address of Apprise. It is kept encrypted." : "With https, at a public address. It is kept encrypted, and its query is not shown again."}
              error={complaint("url")}
            >
              <input
                id="url"
                inputMode="url"
                autocomplete="off"
                placeholder={isForPeople ? "slack://TokenA/TokenB/TokenC/channel" : "https://hooks.example.com/raylift"}
                value={draft.url}
                onInput={(event) => change({ url: event.currentTarget.value })}
              />
            </Field>
          </fieldset>
          <fieldset>
            <legend>Which events</legend>
            <Field label="Types" name="events" note="With * and ?; between spaces." error={complaint("events")}>
              <input id="events" value={draft.events} onInput={(event) => change({ events: event.currentTarget.value })} />
            </Field>
            <div class="chips" role="group" aria-label="Often wanted events">
              {CHOICES.map(([label, events]) => (
                <button key={events} type="button" class="chip" aria-pressed={draft.events.trim() === events} onClick={() => change({ events })}>
                  {label}
                </button>
              ))}
            </div>
            <p class="muted form-note">Only those about these. Empty: about all.</p>
            <div class="field-row">
              {ABOUT.map(([field, label, hint]) => (
                <Field key={field} label={label} name={field} error={complaint(field)}>
                  <input id={field} placeholder={hint} value={draft[field]} onInput={(event) => change({ [field]: event.currentTarget.value })} />
                </Field>
              ))}
            </div>
          </fieldset>
        </div>
        <div class="form-side">
          {checked.found && <Gets types={checked.found.event_types} isLimited={ABOUT.some(([field]) => draft[field].trim())} />}
          <FormEnd error={error} isSending={isSending} right={right} action="Create the webhook" />
          <AsCode {...codeOf(draft)} />
        </div>
      </form>
      {made?.secret && <Secret name={made.name} secret={made.secret} onClose={() => navigate(link("webhooks", made.webhook_id))} />}
    </>
  );
}

/** Nothing is asked before there is something to say about. */
function askedOf(draft: WebhookDraft) {
  return draft.name.trim() && draft.url.trim() ? jsonOf(bodyOf(draft)) : undefined;
}

function Gets({ types, isLimited }: { types: string[]; isLimited: boolean }) {
  return (
    <section class="dry-run" aria-labelledby="gets">
      <h2 id="gets">It gets {plural(types.length, "type")} of events</h2>
      <p class="tags">
        {types.map((type) => (
          <code key={type} class="tag">
            {type}
          </code>
        ))}
      </p>
      {isLimited && <p class="muted">Only where they are about what is named above.</p>}
    </section>
  );
}
