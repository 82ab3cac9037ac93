/** A new webhook, as its form has it, and the same as a request and as code; what its deliveries are about. Pure. */
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
  ["what fails", "job.failed model_version.unhealthy schedule.missed"],
  ["jobs", "job.*"],
  ["versions and aliases", "model_version.* alias.moved"],
  ["traffic", "traffic.changed alias.moved"],
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

/** Page of what an event is about; undefined where it has none. */
export function pageOf({ event_type, subject }: Pick<DeliveryView, "event_type" | "subject">): string | undefined {
  const kind = event_type.split(".")[0];
  if (kind === "job") return link("jobs", subject);
  if (kind === "schedule") return link("schedules", subject);
  if (kind === "alias" || kind === "traffic") return link("models", subject);
  const at = subject.lastIndexOf("/");
  return kind === "model_version" && at > 0 ? link("models", subject.slice(0, at), subject.slice(at + 1)) : undefined;
}
