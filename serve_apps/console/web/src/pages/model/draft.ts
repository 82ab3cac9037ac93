/** A traffic table as it is edited: weights are percentages that sum to 100. Every function is pure. */
import type { TrafficView } from "../../api/types";
import { metric, percent } from "../../ui/format";

export interface DraftRoute {
  target: string;
  isAlias: boolean;
  weight: number;
}

export interface Draft {
  routes: DraftRoute[];
  shadow: string[];
  stickyBy: "" | "header" | "field";
  stickyName: string;
}

export interface TableBody {
  routes: { version?: string; alias?: string; weight: number }[];
  shadow: string[];
  sticky: { header: string } | { field: string } | null;
}

/** The table that answers now; without one, the version that does. */
export function draftOf(traffic: TrafficView): Draft {
  const routes = traffic.routes.length
    ? traffic.routes.map((route) => ({ target: route.alias ?? route.version ?? "", isAlias: route.alias !== null, weight: route.weight ?? 0 }))
    : traffic.versions.flatMap((item) => (item.model_version ? [{ target: item.model_version, isAlias: false, weight: item.share ?? 0 }] : []));
  const sticky = traffic.sticky;
  return {
    routes: scaled(routes),
    shadow: traffic.shadow,
    stickyBy: sticky?.header ? "header" : sticky?.field ? "field" : "",
    stickyName: sticky?.header ?? sticky?.field ?? "",
  };
}

/** Set one weight and let the others share the rest as they did before. */
export function rebalanced(routes: DraftRoute[], at: number, value: number): DraftRoute[] {
  if (routes.length < 2) return scaled(routes.map((route) => ({ ...route, weight: 100 })));
  const weight = Math.min(100, Math.max(0, Number.isFinite(value) ? value : 0));
  const others = routes.reduce((sum, route, index) => (index === at ? sum : sum + route.weight), 0);
  const rest = 100 - weight;
  return scaled(
    routes.map((route, index) => {
      if (index === at) return { ...route, weight };
      return { ...route, weight: others > 0 ? (route.weight / others) * rest : rest / (routes.length - 1) };
    }),
    at,
  );
}

/** A further target begins without requests; the first one gets all. */
export function added(routes: DraftRoute[], target: string, isAlias: boolean): DraftRoute[] {
  return scaled([...routes, { target, isAlias, weight: routes.length ? 0 : 100 }]);
}

export function removed(routes: DraftRoute[], at: number): DraftRoute[] {
  return scaled(routes.filter((_, index) => index !== at));
}

/** Weights in steps of 0.1 that sum to 100; what rounding leaves goes to the largest that was not just set. */
function scaled(routes: DraftRoute[], kept = -1): DraftRoute[] {
  const sum = routes.reduce((total, route) => total + route.weight, 0);
  if (!routes.length) return [];
  const rounded = routes.map((route) => ({ ...route, weight: Math.round((sum > 0 ? (route.weight / sum) * 100 : 100 / routes.length) * 10) / 10 }));
  const left = 100 - rounded.reduce((total, route) => total + route.weight, 0);
  const largest = rounded.reduce((best, route, index) => (index !== kept && (best < 0 || route.weight > (rounded[best]?.weight ?? 0)) ? index : best), -1);
  const taker = rounded[largest] ?? rounded[0];
  if (taker) taker.weight = Math.round((taker.weight + left) * 10) / 10;
  return rounded;
}

export function bodyOf(draft: Draft): TableBody {
  return {
    routes: draft.routes.map((route) => (route.isAlias ? { alias: route.target, weight: route.weight } : { version: route.target, weight: route.weight })),
    shadow: draft.shadow,
    sticky: draft.stickyBy === "header" ? { header: draft.stickyName } : draft.stickyBy === "field" ? { field: draft.stickyName } : null,
  };
}

/** Words of `raylift traffic set`. */
export function wordsOf(name: string, draft: Draft): string[] {
  return [
    "traffic",
    "set",
    name,
    ...draft.routes.map((route) => `${route.target}=${route.weight}`),
    ...draft.shadow.flatMap((target) => ["--shadow", target]),
    ...(draft.stickyBy ? [`--sticky-${draft.stickyBy}`, draft.stickyName] : []),
  ];
}

/** Arguments of `client.traffic.set` after the model's name. */
export function argumentsOf(draft: Draft, literal: (value: unknown) => string): string {
  const routes = Object.fromEntries(draft.routes.map((route) => [route.target, route.weight]));
  return [
    literal(routes),
    ...(draft.shadow.length ? [`shadow=${literal(draft.shadow)}`] : []),
    ...(draft.stickyBy ? [`sticky_${draft.stickyBy}=${literal(draft.stickyName)}`] : []),
  ].join(", ");
}

/** What keeps the draft from being applied; undefined for a good one. */
export function fault(draft: Draft): string | undefined {
  if (!draft.routes.some((route) => route.weight > 0)) return "One version at least must answer.";
  if (draft.stickyBy && !draft.stickyName.trim()) return `Name the ${draft.stickyBy} whose value is sticky.`;
  return undefined;
}

export interface Difference {
  label: string;
  before: string;
  after: string;
}

interface Table {
  routes: { version?: string | null; alias?: string | null; weight: number | null }[];
  shadow: string[];
  sticky: { header?: string | null; field?: string | null } | null;
}

/** Before → after, line by line, with those that stay the same. */
export function differences(before: Table, after: Table): Difference[] {
  const [old, next] = [sharesOf(before), sharesOf(after)];
  const lines = [...new Set([...old.keys(), ...next.keys()])].map((label) => ({ label, before: shareText(old.get(label)), after: shareText(next.get(label)) }));
  const shadows = { label: "copies", before: shadowText(before), after: shadowText(after) };
  const sticky = { label: "sticky", before: stickyText(before), after: stickyText(after) };
  return [...lines, ...[shadows, sticky].filter((line) => line.before !== "—" || line.after !== "—")];
}

/** "v3 90 %, champion 10 %, copies to v4". */
export function tableText(table: Table | null | undefined): string {
  if (!table?.routes.length) return "newest version";
  const shares = [...sharesOf(table)].map(([label, share]) => `${label} ${percent(share)}`);
  const shadow = table.shadow.length ? [`copies to ${shadowText(table)}`] : [];
  const sticky = table.sticky ? [`sticky by ${stickyText(table)}`] : [];
  return [...shares, ...shadow, ...sticky].join(", ");
}

export function targetLabel(target: string, isAlias = !/^\d+$/.test(target)): string {
  return isAlias ? target : `v${target}`;
}

function sharesOf(table: Table): Map<string, number> {
  const sum = table.routes.reduce((total, route) => total + (route.weight ?? 0), 0);
  return new Map(table.routes.map((route) => [route.alias ?? targetLabel(route.version ?? "?", false), sum ? (route.weight ?? 0) / sum : 0]));
}

function shareText(share: number | undefined): string {
  return share === undefined ? "—" : `${metric(Math.round(share * 1000) / 10)} %`;
}

function shadowText(table: Table): string {
  return table.shadow.map((target) => targetLabel(target)).join(", ") || "—";
}

function stickyText(table: Table): string {
  if (table.sticky?.header) return `header ${table.sticky.header}`;
  return table.sticky?.field ? `field ${table.sticky.field}` : "—";
}
