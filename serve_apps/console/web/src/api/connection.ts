/** Whether the platform answers, over all polls of the page. */
import { signal } from "@preact/signals";

/** Time of the last answer, in milliseconds since the epoch. */
export const answeredAt = signal(Date.now());
/** True from the first failed poll to the next answer. */
export const isAway = signal(false);

export function answered(): void {
  answeredAt.value = Date.now();
  isAway.value = false;
}

export function failed(): void {
  isAway.value = true;
}
