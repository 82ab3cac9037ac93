/** Parallel coordinates: a line for each job, over an axis for each parameter and metric. Dragging along an axis chooses a part of it. */
import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { SweepRow } from "../../api/types";
import { quantity, shortId } from "../../ui/format";
import { type Axis, type Brush, type Brushes, isChosen, placeOf } from "./coordinates";

const HEIGHT = 260;
const TOP = 44;
/** The axes are spread over the width that there is, and are this far apart at least. */
const LEAST_GAP = 84;
const BOTTOM = 28;
const SIDE = 56;
const LEAST = 0.02;

export interface ParallelProps {
  axes: Axis[];
  rows: SweepRow[];
  best: string | undefined;
  hovered: string | undefined;
  brushes: Brushes;
  onBrush: (brushes: Brushes) => void;
  onHover: (id: string | undefined) => void;
}

export function Parallel({ axes, rows, best, hovered, brushes, onBrush, onHover }: ParallelProps) {
  const svg = useRef<SVGSVGElement>(null);
  const [drag, setDrag] = useState<{ axis: string; from: number; to: number }>();
  const [room, setRoom] = useState(0);
  useLayoutEffect(() => {
    const element = svg.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setRoom(element.clientWidth));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  const spaces = Math.max(axes.length - 1, 1);
  const gap = Math.max(LEAST_GAP, (room - 2 * SIDE) / spaces);
  const width = SIDE * 2 + gap * spaces;
  const shown = drag ? { ...brushes, [drag.axis]: ordered(drag.from, drag.to) } : brushes;
  const placeAt = (event: JSX.TargetedPointerEvent<SVGElement>): number => {
    const box = svg.current?.getBoundingClientRect();
    if (!box) return 0;
    const y = ((event.clientY - box.top) / box.height) * (HEIGHT + TOP + BOTTOM);
    return Math.min(1, Math.max(0, 1 - (y - TOP) / HEIGHT));
  };
  const end = () => {
    if (!drag) return;
    const { [drag.axis]: _, ...others } = brushes;
    const brush = ordered(drag.from, drag.to);
    onBrush(brush[1] - brush[0] < LEAST ? others : { ...others, [drag.axis]: brush });
    setDrag(undefined);
  };
  const order = [...rows].sort((a, b) => weight(a) - weight(b));
  function weight(row: SweepRow): number {
    return (row.job_id === hovered ? 2 : 0) + (row.job_id === best ? 1 : 0);
  }
  return (
    <svg
      ref={svg}
      class="parallel"
      viewBox={`0 0 ${width} ${HEIGHT + TOP + BOTTOM}`}
      role="img"
      aria-label={`Parallel coordinates of ${rows.length} jobs over ${axes.map((axis) => axis.name).join(", ")}`}
    >
      {order.map((row) => (
        <path
          key={row.job_id}
          d={lineOf(row, axes, gap)}
          class={[
            "coordinate",
            row.job_id === best ? "best" : "",
            row.job_id === hovered ? "hovered" : "",
            isChosen(row, axes, shown) ? "" : "unchosen",
          ].join(" ")}
          onPointerEnter={() => onHover(row.job_id)}
          onPointerLeave={() => onHover(undefined)}
        >
          <title>{shortId(row.job_id)}</title>
        </path>
      ))}
      {axes.map((axis, index) => {
        const x = SIDE + gap * index;
        const brush = shown[axis.name];
        return (
          <g key={axis.name} transform={`translate(${x} 0)`}>
            <text class="axis-name" y={16} text-anchor="middle">
              {cut(axis.name)}
              <title>{axis.name}</title>
            </text>
            <line class={axis.isMetric ? "axis metric" : "axis"} y1={TOP} y2={TOP + HEIGHT} />
            {ticksOf(axis).map(([place, label]) => (
              <text key={label} class="axis-tick" x={6} y={TOP + HEIGHT * (1 - place) + 3.5}>
                {cut(label)}
              </text>
            ))}
            {brush && <rect class="brush" x={-6} width={12} y={TOP + HEIGHT * (1 - brush[1])} height={Math.max(HEIGHT * (brush[1] - brush[0]), 2)} />}
            <rect
              class="brush-area"
              x={-14}
              width={28}
              y={TOP - 8}
              height={HEIGHT + 16}
              onPointerDown={(event) => {
                event.currentTarget.setPointerCapture(event.pointerId);
                const place = placeAt(event);
                setDrag({ axis: axis.name, from: place, to: place });
              }}
              onPointerMove={(event) => drag && setDrag({ ...drag, to: placeAt(event) })}
              onPointerUp={end}
              onPointerCancel={() => setDrag(undefined)}
            />
          </g>
        );
      })}
    </svg>
  );
}

function ordered(first: number, second: number): Brush {
  return first < second ? [first, second] : [second, first];
}

function lineOf(row: SweepRow, axes: Axis[], gap: number): string {
  let isDrawing = false;
  return axes
    .map((axis, index) => {
      const place = placeOf(row, axis);
      if (place === undefined) {
        isDrawing = false;
        return "";
      }
      const point = `${SIDE + gap * index} ${TOP + HEIGHT * (1 - place)}`;
      const step = `${isDrawing ? "L" : "M"}${point}`;
      isDrawing = true;
      return step;
    })
    .join("");
}

function ticksOf(axis: Axis): [number, string][] {
  if ("words" in axis.scale) {
    const { words } = axis.scale;
    return words.map((word, index) => [words.length === 1 ? 0.5 : index / (words.length - 1), word]);
  }
  const { low, high } = axis.scale;
  return low === high
    ? [[0.5, quantity(low)]]
    : [
        [0, quantity(low)],
        [1, quantity(high)],
      ];
}

function cut(text: string): string {
  return text.length > 14 ? `${text.slice(0, 13)}…` : text;
}
