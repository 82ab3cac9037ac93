/** One chart of figures over time or steps, drawn by uPlot. Charts of a group share their axis and their cursor. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { theme } from "../ui/theme";
import { axisTime } from "./axis";
import { DASHES, TONES } from "./tones";

export interface Line {
  label: string;
  values: (number | null)[];
  /** Number of its colour and dash. */
  tone: number;
  /** Holds its value until the next one, as a number of replicas does. */
  isStepped?: boolean;
  /** Filled down to zero. */
  isFilled?: boolean;
  /** A point at each figure. */
  hasPoints?: boolean;
}

export interface ChartProps {
  title: string;
  unit: string;
  /** Seconds since the epoch, or steps. */
  x: number[];
  lines: Line[];
  format: (value: number) => string;
  /** Of the figures in the legend, where they have more digits than those of the axis. */
  exact?: (value: number) => string;
  /** Both ends of the axis; without them those of the data. */
  span?: [number, number] | undefined;
  /** Charts of the same group move one cursor. */
  group: string;
  isTime?: boolean;
  /** Name of a step before its number, where the axis is not time. */
  xName?: string;
  /** The axis of figures need not begin at zero. */
  isFree?: boolean;
  /** The axis of figures has at least this length: a line at zero is no line at the top. */
  atLeast?: number;
  /** Shown in place of the lines when there is no figure. */
  empty: string;
  height?: number;
}

export function Swatch({ tone }: { tone: number }) {
  return <span class={`swatch share-${tone % TONES}`} aria-hidden="true" />;
}

export function Chart(props: ChartProps) {
  const { title, unit, x, lines, format, exact = format, span, group, isTime = true, xName = "step ", empty, height = 132 } = props;
  const figure = useRef<HTMLElement>(null);
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const [at, setAt] = useState<number | null>(null);
  const [looks, setLooks] = useState(0);
  const hasData = hasFigures(lines);
  const shape = lines.map((line) => `${line.label} ${line.tone}`).join();

  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const redraw = () => setLooks((count) => count + 1);
    dark.addEventListener("change", redraw);
    const end = theme.subscribe(redraw);
    return () => {
      dark.removeEventListener("change", redraw);
      end();
    };
  }, []);

  useLayoutEffect(() => {
    if (!box.current || !figure.current) return;
    const options = optionsOf(props, colours(figure.current), box.current.clientWidth, height, setAt);
    const made = new uPlot(options, dataOf(x, lines), box.current);
    plot.current = made;
    const watcher = new ResizeObserver(() => box.current && made.setSize({ width: box.current.clientWidth, height }));
    watcher.observe(box.current);
    return () => {
      watcher.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [shape, looks, hasData, isTime, height]);

  useLayoutEffect(() => {
    const made = plot.current;
    if (!made) return;
    made.setData(dataOf(x, lines), false);
    const [low = 0, high = 1] = span ?? [x[0] ?? 0, x.at(-1) ?? 1];
    made.batch(() => {
      made.setScale("x", { min: low, max: high > low ? high : low + 1 });
    });
  }, [x, lines, span?.[0], span?.[1], looks, shape]);

  const onKey = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const made = plot.current;
    if (!by || !made || !x.length) return;
    event.preventDefault();
    const next = Math.min(x.length - 1, Math.max(0, (at ?? (by > 0 ? -1 : x.length)) + by));
    moveTo(made.valToPos(x[next] ?? 0, "x"));
  };
  const moveTo = (left: number) => {
    for (const one of uPlot.sync(group).plots) one.setCursor({ left, top: left < 0 ? left : 4 });
  };
  const index = at ?? lastIndex(lines);
  return (
    <figure class="chart" ref={figure}>
      <figcaption>
        <b>{title}</b> <span class="muted">{unit}</span>
        {hasData && index !== null && (
          <span class="chart-at muted number">{isTime ? axisTime(x[index] ?? 0) : `${xName}${x[index] ?? 0}`}</span>
        )}
      </figcaption>
      <ul class="chart-legend">
        {lines.map((line) => (
          <li key={line.label}>
            <Swatch tone={line.tone} />
            {line.label} <b class="number">{shown(index === null ? null : line.values[index], exact)}</b>
          </li>
        ))}
      </ul>
      <div
        ref={box}
        class="chart-plot"
        style={{ height: `${height}px` }}
        tabIndex={0}
        role="img"
        aria-label={`${title}, ${unit}. ${hasData ? "Arrow keys move along it; the table has all figures." : empty}`}
        onKeyDown={onKey}
        onBlur={() => moveTo(-10)}
      />
      {!hasData && (
        <p class="chart-empty muted" aria-hidden="true">
          {empty}
        </p>
      )}
    </figure>
  );
}

function shown(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined ? "—" : format(value);
}

function lastIndex(lines: Line[]): number | null {
  const length = Math.max(0, ...lines.map((line) => line.values.length));
  for (let index = length - 1; index >= 0; index -= 1) if (lines.some((line) => line.values[index] != null)) return index;
  return null;
}

function hasFigures(lines: Line[]): boolean {
  return lines.some((line) => line.values.some((value) => value !== null));
}

function dataOf(x: number[], lines: Line[]): uPlot.AlignedData {
  return [x, ...lines.map((line) => line.values)];
}

interface Colours {
  text: string;
  grid: string;
  tones: string[];
}

/** Colours as the style sheet has them at this moment: a canvas does not follow the theme. */
function colours(element: HTMLElement): Colours {
  const probe = document.createElement("span");
  element.append(probe);
  const read = (name: string, property: "color" | "backgroundColor") => {
    probe.className = name;
    return getComputedStyle(probe)[property];
  };
  const tones = DASHES.map((_, tone) => read(`share-${tone}`, "backgroundColor"));
  const found = { text: read("muted", "color"), grid: read("chart-grid", "backgroundColor"), tones };
  probe.remove();
  return found;
}

function faded(colour: string): string {
  return `color-mix(in srgb, ${colour} 13%, transparent)`;
}

function optionsOf(props: ChartProps, colour: Colours, width: number, height: number, moved: (at: number | null) => void): uPlot.Options {
  const axis = { stroke: colour.text, font: "11px system-ui, sans-serif", ticks: { show: false }, gap: 5 };
  const { lines, format, isTime = true } = props;
  return {
    width,
    height,
    legend: { show: false },
    padding: [6, 18, 0, 0],
    cursor: { sync: { key: props.group, scales: ["x", null] }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
    scales: { x: { time: isTime }, y: { range: props.isFree ? free : (_, __, high) => [0, Math.max((high ?? 0) * 1.08, props.atLeast ?? 1)] } },
    axes: [
      {
        ...axis,
        size: 22,
        grid: { stroke: colour.grid, width: 1 },
        values: isTime ? (_, splits, __, ___, step) => splits.map((split) => axisTime(split, step)) : (_, splits) => splits.map((split) => (Number.isInteger(split) ? `${props.xName === "v" ? "v" : ""}${split}` : "")),
      },
      { ...axis, size: 62, grid: { stroke: colour.grid, width: 1 }, space: 34, values: (_, splits) => (hasFigures(lines) ? splits.map(format) : splits.map(() => "")) },
    ],
    series: [
      {},
      ...lines.map((line): uPlot.Series => {
        const tone = line.tone % TONES;
        const stroke = colour.tones[tone] ?? "gray";
        return {
          label: line.label,
          stroke,
          width: 1.6,
          dash: lines.length > 1 ? (DASHES[tone] ?? []) : [],
          spanGaps: !isTime,
          points: { show: true, size: 4.5, fill: stroke, ...(line.hasPoints ? {} : { filter: lonely }) },
          ...(line.isFilled ? { fill: faded(stroke) } : {}),
          ...(line.isStepped && uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
        };
      }),
    ],
    hooks: { setCursor: [(plot) => moved(plot.cursor.left !== undefined && plot.cursor.left >= 0 ? (plot.cursor.idx ?? null) : null)] },
  };
}

/** Both ends of an axis of figures that need not begin at zero. */
function free(_: uPlot, low: number | null, high: number | null): [number, number] {
  const [bottom, top] = [low ?? 0, high ?? 1];
  const room = (top - bottom || Math.abs(top) || 1) * 0.1;
  return [bottom >= 0 ? Math.max(0, bottom - room) : bottom - room, top + room];
}

/** A figure between two gaps is no line: it is drawn as a point. */
function lonely(plot: uPlot, series: number): number[] | null {
  const values = plot.data[series] ?? [];
  const found: number[] = [];
  for (let index = 0; index < values.length; index += 1) {
    if (values[index] != null && values[index - 1] == null && values[index + 1] == null) found.push(index);
  }
  return found;
}
