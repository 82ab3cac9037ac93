/** A new webhook, as its form has it, and the same as a request and as code; what its deliveries are about. Pure. */
import type { ApiError } from "../../api/client";
import type { DeliveryView, WebhookView } from "../../api/types";
import { link } from "../../router";
import { command, curl, literal, python } from "../../ui/snippets";

export interface WebhookDraft {
  name: string;
  url: string;
  format: WebhookView["format"];
  /** Patterns, between spaces, commas or line breaks. */
  events: string;
  models: string;
  experiments: string;
  owners: string;
}

export const EMPTY: WebhookDraft = { name: "", url: "", format: "standard", events: "*", models: "", experiments: "", owners: "" };

/** Often wanted events. */
export const CHOICES: [string, string][] = [
  ["everything", "*"],
  ["what fails", "job.failed batch.failed model_version.unhealthy rollout.rolled_back monitor.alert schedule.missed"],
  ["jobs", "job.*"],
  ["versions and aliases", "model_version.* alias.moved"],
  ["traffic", "traffic.changed alias.moved rollout.*"],
];

const LISTS = ["events", "models", "experiments", "owners"] as const;

/** "a, b\nc" → its three patterns. */
export function patternsOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** The request. Fields at their default are left out. */
export function bodyOf(draft: WebhookDraft): { name: string; url: string } & Record<string, unknown> {
  return {
    name: draft.name.trim(),
    url: draft.url.trim(),
    ...(draft.format !== EMPTY.format && { format: draft.format }),
    ...Object.fromEntries(LISTS.filter((field) => draft[field].trim() !== EMPTY[field]).map((field) => [field, patternsOf(draft[field])])),
  };
}

const FLAGS: Record<(typeof LISTS)[number], string> = { events: "--event", models: "--model", experiments: "--experiment", owners: "--of-owner" };

export function codeOf(draft: WebhookDraft): { cli: string; python: string; curl: string } {
  const { name, url, ...rest } = bodyOf(draft);
  const given = Object.entries(rest);
  const words = given.flatMap(([field, value]) =>
    Array.isArray(value) ? value.flatMap((pattern: string) => [FLAGS[field as keyof typeof FLAGS], pattern]) : [`--${field}`, String(value)],
  );
  const options = given.map(([field, value]) => `, ${field}=${literal(value)}`).join("");
  return {
    cli: command("webhooks", "create", name, url, ...words),
    python: python(`made = client.webhooks.create(${literal(name)}, ${literal(url)}${options})`, "print(made.secret)"),
    curl: curl("POST", "/mlops/webhooks", bodyOf(draft)),
  };
}

/** A form with what a webhook has. Its address is empty: the platform does not tell its query. */
export function draftOf(webhook: WebhookView): WebhookDraft {
  const lists = Object.fromEntries(LISTS.map((field) => [field, webhook[field].join(" ")])) as Record<(typeof LISTS)[number], string>;
  return { name: webhook.name, url: "", format: webhook.format, ...lists };
}

export type WebhookChanges = Partial<Record<(typeof LISTS)[number], string[]>> & { url?: string };

/** The fields that the form has changed. No type at all means every type, as in a new webhook. */
export function changesOf(webhook: WebhookView, draft: WebhookDraft): WebhookChanges {
  const changes: WebhookChanges = draft.url.trim() ? { url: draft.url.trim() } : {};
  for (const field of LISTS) {
    const found = patternsOf(draft[field]);
    const wanted = field === "events" && !found.length ? ["*"] : found;
    if (wanted.join(" ") !== webhook[field].join(" ")) changes[field] = wanted;
  }
  return changes;
}

export function codeOfChanges(name: string, changes: WebhookChanges): { cli: string; python: string; curl: string } {
  const { url, ...lists } = changes;
  const words = Object.entries(lists).flatMap(([field, patterns]) => {
    const flag = FLAGS[field as keyof typeof FLAGS];
    return patterns.length ? patterns.flatMap((pattern) => [flag, pattern]) : [flag, ""];
  });
  const options = Object.entries(changes).map(([field, value]) => `, ${field}=${literal(value)}`).join("");
  return {
    cli: command("webhooks", "update", name, ...(url ? ["--to", url] : []), ...words),
    python: python(`client.webhooks.update(${literal(name)}${options})`),
    curl: curl("PATCH", `/mlops/webhooks/${name}`, changes),
  };
}

/** Complaint about a field, or about one of its patterns. */
export function complaintOf(wrong: ApiError | undefined, field: string): string | undefined {
  if (wrong?.status === 403) return field === "format" ? wrong.message : undefined;
  if (wrong?.status === 409) return field === "name" ? wrong.message : undefined;
  return wrong?.problem.errors?.find((error) => error.field === field || error.field.startsWith(`${field}[`))?.detail;
}

/** Page of what an event is about; undefined where it has none. */
export function pageOf({ event_type, subject, data }: Pick<DeliveryView, "event_type" | "subject" | "data">): string | undefined {
  const kind = event_type.split(".")[0];
  if (kind === "job") return link("jobs", subject);
  if (kind === "batch") return link("batches", subject);
  if (kind === "rollout") return typeof data.model_name === "string" ? link("models", data.model_name) : undefined;
  if (kind === "schedule") return link("schedules", subject);
  if (kind === "alias" || kind === "traffic") return link("models", subject);
  const at = subject.lastIndexOf("/");
  return (kind === "model_version" || kind === "monitor") && at > 0 ? link("models", subject.slice(0, at), subject.slice(at + 1)) : undefined;
}
