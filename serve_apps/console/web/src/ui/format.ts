/** Figures with their units. Every function is pure. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** 1610612736 → "1.5 GiB". */
export function bytes(count: number | null): string {
  if (count === null) return "—";
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${trimmed(value.toFixed(digits))} ${UNITS[unit]}`;
}

/** 0.42 → "420 ms", 12.3 → "12.3 s", 125 → "2 min 05 s", 7500 → "2 h 05 min". */
export function duration(seconds: number | null): string {
  if (seconds === null) return "—";
  if (seconds < 0.0005) return "0 s";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return whole % 60 ? `${Math.floor(whole / 60)} min ${two(whole % 60)} s` : `${whole / 60} min`;
  if (whole < 86_400) return whole % 3600 ? `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min` : `${whole / 3600} h`;
  const hours = Math.floor((whole % 86_400) / 3600);
  return `${Math.floor(whole / 86_400)} d${hours ? ` ${hours} h` : ""}`;
}

/** Age of a moment: "just now", "12 s ago", "3 min ago", "2 h ago", "5 d ago". */
export function ago(iso: string, now: number): string {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 2) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** Time until a moment: "now", "in 12 s", "in 3 min", "in 2 h", "in 5 d". */
export function until(iso: string, now: number): string {
  const seconds = (Date.parse(iso) - now) / 1000;
  if (seconds < 1) return "now";
  if (seconds < 60) return `in ${Math.floor(seconds)} s`;
  if (seconds < 3600) return `in ${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `in ${Math.floor(seconds / 3600)} h`;
  return `in ${Math.floor(seconds / 86_400)} d`;
}

/** "2026-11-30 03:00": the time on the wall of the zone that the text is in. */
export function wallClock(iso: string): string {
  return iso.slice(0, 16).replace("T", " ");
}

/** "2026-11-30 07:04:05", local time. */
export function moment(iso: string): string {
  const at = new Date(iso);
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date} ${clock(iso)}`;
}

/** "07:04:05", local time. */
export function clock(iso: string): string {
  const at = new Date(iso);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** A metric with four significant digits, so that a column of them is aligned; whole numbers whole. */
export function metric(value: number | null): string {
  if (value === null) return "NaN";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return grouped(value);
  const size = Math.abs(value);
  return size < 1e-4 || size >= 1e7 ? value.toExponential(3) : value.toPrecision(4);
}

/** A quantity without needless zeros: 0.5, 2, 33.3. */
export function quantity(value: number | null): string {
  return trimmed(metric(value));
}

/** 0.333 → "33.3 %". */
export function percent(share: number | null): string {
  return `${quantity(Math.round((share ?? 0) * 1000) / 10)} %`;
}

/** 12345 → "12 345", with narrow spaces that do not break. */
export function grouped(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

export function plural(count: number | null, noun: string, nouns = `${noun}s`): string {
  return `${quantity(count)} ${count === 1 ? noun : nouns}`;
}

/** "out_of_memory" → "out of memory". */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

/** "mlflow" → "MLflow": a part of the platform, as its makers write it. */
export function partName(name: string): string {
  return name === "mlflow" ? "MLflow" : name.charAt(0).toUpperCase() + name.slice(1);
}

/** 2 CPUs and 4 GiB → "2 CPUs · 4 GiB"; memory and GPUs where they are. */
export function resources(cpus: number | null, memory: number | null, gpus: number | null = 0): string {
  return [plural(cpus, "CPU"), ...(memory === null ? [] : [bytes(memory)]), ...(gpus ? [plural(gpus, "GPU")] : [])].join(" · ");
}

/** "job_01K8ZQ4T…" → its last eight characters, which differ between jobs of one moment. */
export function shortId(id: string): string {
  return id.length > 12 ? `…${id.slice(-8)}` : id;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

function trimmed(text: string): string {
  return text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/, "") : text;
}
