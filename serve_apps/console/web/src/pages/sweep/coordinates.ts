/** Axes of parallel coordinates, the place of each row on them, and brushes. Pure. */
import type { SweepRow, SweepView } from "../../api/types";

export interface Axis {
  name: string;
  isMetric: boolean;
  /** Values in order: numbers between `low` and `high`, or the words of a category. */
  scale: { low: number; high: number } | { words: string[] };
}

/** Part of an axis that is chosen, as places from 0 (bottom) to 1 (top). */
export type Brush = [number, number];
export type Brushes = Record<string, Brush>;

const MOST_METRICS = 3;

/** The parameters with more than one value, then the metrics, the deciding one last. */
export function axesOf(sweep: SweepView): Axis[] {
  const parameters = Object.entries(sweep.parameters)
    .filter(([, values]) => values.length > 1)
    .map(([name, values]): Axis => ({ name, isMetric: false, scale: scaleOf(values) }));
  const names = new Set(sweep.jobs.flatMap((row) => Object.keys(row.metrics)));
  if (sweep.metric) names.delete(sweep.metric);
  const shown = [...names].sort((a, b) => a.length - b.length || a.localeCompare(b)).slice(0, sweep.metric ? MOST_METRICS - 1 : MOST_METRICS);
  if (sweep.metric) shown.push(sweep.metric);
  const metrics = shown.flatMap((name): Axis[] => {
    const values = sweep.jobs.map((row) => numberOf(row.metrics[name])).filter((value) => value !== undefined);
    return values.length ? [{ name, isMetric: true, scale: range(values) }] : [];
  });
  return [...parameters, ...metrics];
}

function scaleOf(values: string[]): Axis["scale"] {
  const numbers = values.map(Number);
  return values.every((value, index) => value.trim() !== "" && Number.isFinite(numbers[index])) ? range(numbers) : { words: values };
}

function range(values: number[]): { low: number; high: number } {
  return { low: Math.min(...values), high: Math.max(...values) };
}

/** Place of a row on an axis from 0 to 1; undefined where it has no value. */
export function placeOf(row: SweepRow, axis: Axis): number | undefined {
  const value: unknown = axis.isMetric ? row.metrics[axis.name] : row.parameters[axis.name];
  if ("words" in axis.scale) {
    const index = axis.scale.words.indexOf(String(value));
    return index === -1 ? undefined : axis.scale.words.length === 1 ? 0.5 : index / (axis.scale.words.length - 1);
  }
  const number = numberOf(value);
  if (number === undefined) return undefined;
  const { low, high } = axis.scale;
  return high === low ? 0.5 : (number - low) / (high - low);
}

function numberOf(value: unknown): number | undefined {
  const number = typeof value === "string" && value.trim() ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

/** True where the row is inside of every brush. */
export function isChosen(row: SweepRow, axes: Axis[], brushes: Brushes): boolean {
  return axes.every((axis) => {
    const brush = brushes[axis.name];
    if (!brush) return true;
    const place = placeOf(row, axis);
    return place !== undefined && place >= brush[0] - 1e-9 && place <= brush[1] + 1e-9;
  });
}

/** Rows with the best first; those without the metric, or not completed, keep their order at the end. */
export function ranked(sweep: SweepView): SweepRow[] {
  const { metric } = sweep;
  if (!metric) return sweep.jobs;
  const sign = sweep.mode === "max" ? -1 : 1;
  const rank = (row: SweepRow) => (row.status === "completed" ? numberOf(row.metrics[metric]) : undefined);
  return sweep.jobs
    .map((row, index) => ({ row, index, value: rank(row) }))
    .sort((a, b) => {
      if (a.value === undefined || b.value === undefined) return Number(a.value === undefined) - Number(b.value === undefined) || a.index - b.index;
      return sign * (a.value - b.value) || a.index - b.index;
    })
    .map(({ row }) => row);
}

/** "lr~0~0.5,depth~1~1" for the address. */
export function written(brushes: Brushes): string {
  return Object.entries(brushes)
    .map(([name, [low, high]]) => `${encodeURIComponent(name)}~${round(low)}~${round(high)}`)
    .join(",");
}

export function readBrushes(text: string): Brushes {
  const found: Brushes = {};
  for (const part of text.split(",").filter(Boolean)) {
    const [name, low, high] = part.split("~");
    const brush: Brush = [Number(low), Number(high)];
    if (name && brush.every((place) => Number.isFinite(place))) found[decodeURIComponent(name)] = brush;
  }
  return found;
}

function round(place: number): number {
  return Math.round(place * 1000) / 1000;
}
