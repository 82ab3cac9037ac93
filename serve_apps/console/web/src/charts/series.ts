/** Time series of versions as columns for charts. Every function is pure but for the polls. */
import { api, dataOf } from "../api/client";
import { type Polled, usePoll } from "../api/poll";
import type { SeriesPoint, SeriesView } from "../api/types";
import { query } from "../router";
import type { Line } from "./chart";
import { toneOf } from "./tones";

export const RANGES: Record<string, number> = { "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000 };
const POLL_SECONDS = 15;

/** The range in the page's address; an hour without one. */
export function range(): string {
  const chosen = query.value.get("range") ?? "";
  return chosen in RANGES ? chosen : "1h";
}

/** Start of the range, at a whole minute, so that polls of one minute are equal. */
export function sinceOf(chosen: string, now: number): string {
  return new Date((Math.floor(now / 60_000) * 60 - (RANGES[chosen] ?? 3600)) * 1000).toISOString();
}

/** Series of versions of one model, read together. */
export function useSeries(name: string, versions: string[], chosen: string): Polled<SeriesView[]> {
  return usePoll(
    `series ${name} ${versions.join(",")} ${chosen}`,
    async (call) => {
      const since = sinceOf(chosen, Date.now());
      const options = { signal: call.signal, cache: call.cache };
      const read = (version: string) =>
        api.GET("/mlops/models/{name}/versions/{version}/series", { ...options, params: { path: { name, version }, query: { since } } });
      const data = await Promise.all(versions.map((version) => dataOf(read(version))));
      return { data, response: new Response(null) };
    },
    POLL_SECONDS,
  );
}

export type FigureName = Exclude<keyof SeriesPoint, "start">;

export function times(series: SeriesView): number[] {
  return series.points.map((point) => Date.parse(point.start) / 1000);
}

export function spanOf(series: SeriesView): [number, number] {
  return [Date.parse(series.since) / 1000, Date.parse(series.until) / 1000];
}

export function column(series: SeriesView, figure: FigureName): (number | null)[] {
  return series.points.map((point) => point[figure] as number | null);
}

/** One line for each version, on the times of the longest series: all begin at the same minute. */
export function compared(all: SeriesView[], figure: FigureName, x: number[]): Line[] {
  return all.map((series) => {
    const values = new Map(times(series).map((time, index) => [time, series.points[index]?.[figure] as number | null]));
    return { label: `v${series.model_version}`, tone: toneOf(series.model_version), values: x.map((time) => values.get(time) ?? null) };
  });
}

/** True where some request came in this time. */
export function hasRequests(series: SeriesView): boolean {
  return series.points.some((point) => (point.requests ?? 0) > 0);
}
