/** The address is the state: paths below /console/, and everything that a page shows in its query. */
import { computed, signal } from "@preact/signals";

export const BASE = "/console";

const here = signal(location.pathname + location.search);

export const path = computed(() => new URL(here.value, location.origin).pathname.slice(BASE.length).replace(/\/+$/, "") || "/");
export const query = computed(() => new URL(here.value, location.origin).searchParams);

addEventListener("popstate", () => {
  here.value = location.pathname + location.search;
});

/** Path of a page of the console, e.g. `link("jobs", id)`. */
export function link(...parts: string[]): string {
  return [BASE, ...parts.map(encodeURIComponent)].join("/");
}

export function navigate(to: string, how: { replace?: boolean } = {}): void {
  if (how.replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  const wasElsewhere = new URL(to, location.origin).pathname !== new URL(here.value, location.origin).pathname;
  here.value = location.pathname + location.search;
  if (wasElsewhere) scrollTo(0, 0);
}

/** Address of this page with other values in its query; null or "" removes one. */
export function withQuery(changes: Record<string, string | null>): string {
  const next = new URLSearchParams(query.value);
  for (const [name, value] of Object.entries(changes)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  const text = next.toString();
  return BASE + path.value + (text ? `?${text}` : "");
}

export function setQuery(changes: Record<string, string | null>, how: { replace?: boolean } = { replace: true }): void {
  navigate(withQuery(changes), how);
}

/** Follow links of the console without loading the page anew. */
export function onLinkClick(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const anchor = (event.target as Element | null)?.closest("a");
  if (!anchor || anchor.target || anchor.origin !== location.origin || anchor.hasAttribute("download")) return;
  if (!anchor.pathname.startsWith(`${BASE}/`)) return;
  event.preventDefault();
  navigate(anchor.pathname + anchor.search);
}

export type Params = string[];

/** Return the decoded groups of `pattern`, e.g. `jobs/:/diff/:`; undefined where the path is another. */
export function match(pattern: string, actual: string): Params | undefined {
  const wanted = pattern.split("/").filter(Boolean);
  const parts = actual.split("/").filter(Boolean);
  if (wanted.length !== parts.length) return undefined;
  const params: Params = [];
  for (const [index, part] of parts.entries()) {
    if (wanted[index] === ":") params.push(decoded(part));
    else if (wanted[index] !== part) return undefined;
  }
  return params;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
