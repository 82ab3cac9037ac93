/** Figures of charts with their units. Every function is pure. */
import { grouped, quantity } from "../ui/format";

/** 0.8 ms → "0.8 ms", 1250 ms → "1.25 s". */
export function milliseconds(value: number): string {
  return value >= 1000 ? `${quantity(Number((value / 1000).toPrecision(3)))} s` : `${quantity(Number(value.toPrecision(3)))} ms`;
}

export function perSecond(value: number): string {
  return `${value >= 10_000 ? grouped(Math.round(value)) : quantity(Number(value.toPrecision(3)))}/s`;
}

export function count(value: number): string {
  return Number.isInteger(value) ? grouped(value) : quantity(Number(value.toPrecision(3)));
}

export function whole(value: number): string {
  return Number.isInteger(value) ? grouped(value) : "";
}

export function stepText(seconds: number): string {
  if (seconds < 3600) return `${seconds / 60} min`;
  return seconds < 86_400 ? `${seconds / 3600} h` : "a day";
}
