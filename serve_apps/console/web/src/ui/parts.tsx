/** Small parts that every page uses. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { ApiError } from "../api/client";
import { link, withQuery } from "../router";
import { now } from "./clock";
import { ago, moment } from "./format";

/** "3 min ago"; the exact time is its title. */
export function Ago({ at }: { at: string | null | undefined }) {
  if (!at) return <span class="muted">—</span>;
  return (
    <time dateTime={at} title={moment(at)}>
      {ago(at, now.value)}
    </time>
  );
}

export function Copy({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await copyText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1200);
  };
  return (
    <button type="button" class="quiet" onClick={() => void copy()} aria-label={`Copy ${label}`}>
      {done ? "Copied" : "Copy"}
    </button>
  );
}

/** The clipboard's interface exists on https and localhost only; elsewhere a selection is copied. */
async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

export interface Heading {
  /** Also the title of the browser's tab. */
  title: string;
  above?: ComponentChildren;
  beside?: ComponentChildren;
  actions?: ComponentChildren;
}

export function PageHead({ title, above, beside, actions }: Heading) {
  useEffect(() => {
    document.title = `${title} · Raylift`;
  }, [title]);
  return (
    <header class="page-head">
      <div class="page-title">
        {above && <nav aria-label="Breadcrumb" class="crumbs">{above}</nav>}
        <div class="title-row">
          <h1 tabIndex={-1}>{title}</h1>
          {beside}
        </div>
      </div>
      {actions && <div class="actions">{actions}</div>}
    </header>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Failure({ error, what }: { error: ApiError; what: string }) {
  const title = error.status === 404 ? `There is no such ${what}` : `The ${what} cannot be shown`;
  return (
    <Empty title={title}>
      <p>{error.message}</p>
      <a class="button" href={link("")}>
        Overview
      </a>
    </Empty>
  );
}

/** Grey rows in the place of those to come; shown after a moment only, so that quick answers do not flicker. */
export function Loading() {
  return (
    <div class="loading" role="status" aria-label="Loading">
      <span />
      <span />
      <span />
    </div>
  );
}

/** Term and value, aligned in columns. */
export function Facts({ items }: { items: [string, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {items.map(([name, value]) => (
        <div key={name} class={name === "Route" || name === "Address" ? "wide" : undefined}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export interface TabItem {
  id: string;
  label: string;
  count?: number | undefined;
  href: string;
}

/** Tabs as links: each view has an address. */
export function Tabs({ items, selected, label }: { items: TabItem[]; selected: string; label: string }) {
  return (
    <nav class="tabs" aria-label={label}>
      {items.map((item) => (
        <a key={item.id} href={item.href} aria-current={item.id === selected ? "page" : undefined}>
          {item.label}
          {item.count !== undefined && <span class="count">{item.count}</span>}
        </a>
      ))}
    </nav>
  );
}

/** Ways to the newest and the next older page of a list. `cursor` is that of this page, `after` in its address. */
export function Pages({ cursor, next, older }: { cursor: string | null; next: string | null | undefined; older: string }) {
  if (!cursor && !next) return null;
  return (
    <nav class="pages" aria-label="Pages">
      {cursor && <a href={withQuery({ after: null })}>Newest</a>}
      {next && <a href={withQuery({ after: next })}>{older}</a>}
    </nav>
  );
}
