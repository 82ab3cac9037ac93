/** Tells for how long nobody has touched the page: what does not change is then asked for less often. */

const IDLE_MS = 60_000;

let actedAt = Date.now();
const wakers = new Set<() => void>();

export function isIdle(): boolean {
  return Date.now() - actedAt > IDLE_MS;
}

/** Call `wake` at the first action after a pause. Returns what ends that. */
export function onWake(wake: () => void): () => void {
  wakers.add(wake);
  return () => wakers.delete(wake);
}

function acted(): void {
  const wasIdle = isIdle();
  actedAt = Date.now();
  if (wasIdle) for (const wake of wakers) wake();
}

for (const kind of ["pointermove", "pointerdown", "keydown", "wheel", "focus"]) globalThis.addEventListener?.(kind, acted, { passive: true });
