/** Another address, other events or other conditions for a webhook. Its secret and its deliveries stay. */
import { useState } from "preact/hooks";
import { ApiError, api, dataOf } from "../../api/client";
import type { WebhookView } from "../../api/types";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { Field } from "../new_job/upload_fields";
import { changesOf, codeOfChanges, complaintOf, draftOf, type WebhookDraft } from "./draft";

const FIELDS: ["events" | "models" | "experiments" | "owners", string, string?][] = [
  ["events", "Types of events", "With * and ?; between spaces."],
  ["models", "Only about these models", "Empty: about all."],
  ["experiments", "Only about these experiments"],
  ["owners", "Only about jobs of these owners"],
];

export function Edit({ webhook, onDone, onClose }: { webhook: WebhookView; onDone: () => void; onClose: () => void }) {
  const [draft, setDraft] = useState<WebhookDraft>(() => draftOf(webhook));
  const [wrong, setWrong] = useState<ApiError>();
  // What it was when the dialog opened: somebody else's change must not become one of this form.
  const [before] = useState(webhook);
  const path = { webhook_name: webhook.webhook_id };
  const changes = changesOf(before, draft);
  const change = (values: Partial<WebhookDraft>) => {
    setWrong(undefined);
    setDraft((known) => ({ ...known, ...values }));
  };
  const send = async () => {
    try {
      if (Object.keys(changes).length) await dataOf(api.PATCH("/mlops/webhooks/{webhook_name}", { params: { path }, body: changes as never }));
    } catch (failure) {
      if (failure instanceof ApiError) setWrong(failure);
      throw failure;
    }
    onDone();
  };
  return (
    <Confirm title={`Change ${webhook.name}`} action="Change" onConfirm={send} onClose={onClose}>
      <p>Events from now on are chosen so. Its secret stays, and so does what waits to be sent.</p>
      {FIELDS.map(([field, label, note]) => (
        <Field key={field} label={label} name={`edit-${field}`} {...(note && { note })} error={complaintOf(wrong, field)}>
          <input id={`edit-${field}`} value={draft[field]} onInput={(event) => change({ [field]: event.currentTarget.value })} />
        </Field>
      ))}
      <Field label="Another address" name="edit-url" note={`Empty: it stays ${webhook.url}`} error={complaintOf(wrong, "url")}>
        <input id="edit-url" inputMode="url" autocomplete="off" value={draft.url} onInput={(event) => change({ url: event.currentTarget.value })} />
      </Field>
      <AsCode {...codeOfChanges(webhook.name, changes)} />
    </Confirm>
  );
}
