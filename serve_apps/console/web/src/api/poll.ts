/**
 * Reads a resource again and again: with its ETag, not in a hidden tab, with longer pauses while the platform is away, and while
 * nothing changes and nobody touches the page.
 */
import { useEffect, useState } from "preact/hooks";
import { isIdle, onWake } from "./attention";
import { type Answer, ApiError, problemOf } from "./client";
import { answered, failed } from "./connection";

const LONGEST_PAUSE_SECONDS = 30;
/** Unchanged answers in a row after which the pauses of a page that nobody touches are longer. */
const QUIET_AFTER = 15;
const QUIET_FACTOR = 4;

/** Options of the call: pass them to `api.GET`. */
export type Call = {
  headers: Record<string, string>;
  signal: AbortSignal;
  cache: "no-store";
};

type Read<T> = (call: Call) => Promise<Answer<T>>;

export interface Polled<T> {
  data: T | undefined;
  /** The platform's refusal, e.g. 404. A platform that does not answer is no error: the banner says so. */
  error: ApiError | undefined;
  /** Reads at once, e.g. after an action. */
  refresh: () => void;
}

/** Seconds to wait after `failures` failed polls in a row. */
export function pauseAfter(failures: number, seconds: number): number {
  return Math.min(seconds * 2 ** failures, Math.max(seconds, LONGEST_PAUSE_SECONDS));
}

/** The poll of one resource, for all parts of the page that show it. It keeps its last answer when nobody looks. */
export class Poll<T> {
  data: T | undefined;
  error: ApiError | undefined;
  private tag = "";
  private read: Read<T> | undefined;
  private readonly watchers = new Map<() => void, number>();
  private stop = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private unchanged = 0;
  private stopWaking = () => {};
  private isReading = false;

  /** Call `redraw` after each change from `drawn`, the data on the screen. Returns what ends that. */
  watch(read: Read<T>, seconds: number, redraw: () => void, drawn: T | undefined): () => void {
    this.read = read;
    this.watchers.set(redraw, seconds);
    // An answer may have come between the drawing and this call. Later ones may all be 304.
    if (this.data !== drawn) redraw();
    if (this.watchers.size === 1) {
      this.stop = new AbortController();
      document.addEventListener("visibilitychange", this.onVisibility);
      this.stopWaking = onWake(this.onVisibility);
    }
    void this.run();
    return () => {
      this.watchers.delete(redraw);
      if (this.watchers.size) return;
      this.stop.abort();
      this.isReading = false;
      clearTimeout(this.timer);
      document.removeEventListener("visibilitychange", this.onVisibility);
      this.stopWaking();
    };
  }

  readonly run = async (): Promise<void> => {
    const { stop } = this;
    if (this.isReading || stop.signal.aborted) return;
    clearTimeout(this.timer);
    this.isReading = true;
    try {
      await this.once(stop.signal);
      this.failures = 0;
      answered();
    } catch (error) {
      if (stop.signal.aborted) return;
      this.refused(error);
    }
    if (stop.signal.aborted) return;
    this.isReading = false;
    this.plan();
  };

  private async once(signal: AbortSignal): Promise<void> {
    const headers: Record<string, string> = this.tag ? { "If-None-Match": this.tag } : {};
    const answer = await this.read?.({ headers, signal, cache: "no-store" });
    if (!answer || signal.aborted) return;
    this.unchanged = answer.response.status === 304 ? this.unchanged + 1 : 0;
    if (this.unchanged) return;
    if (!answer.response.ok) throw new ApiError(answer.response.status, problemOf(answer.error, answer.response));
    this.tag = answer.response.headers.get("ETag") ?? "";
    this.data = answer.data;
    this.error = undefined;
    this.redraw();
  }

  private refused(error: unknown): void {
    if (error instanceof ApiError && error.status < 500) {
      this.failures = 0;
      answered();
      this.error = error;
      this.redraw();
    } else {
      this.failures += 1;
      failed();
    }
  }

  private plan(): void {
    const pauses = [...this.watchers.values()].filter((seconds) => seconds > 0);
    if (document.hidden || (!pauses.length && !this.failures)) return;
    const seconds = Math.min(...pauses, pauses.length ? Infinity : 2);
    const isQuiet = this.unchanged >= QUIET_AFTER && isIdle();
    this.timer = setTimeout(() => void this.run(), 1000 * pauseAfter(this.failures, isQuiet ? seconds * QUIET_FACTOR : seconds));
  }

  private readonly onVisibility = (): void => {
    if (document.hidden) clearTimeout(this.timer);
    else void this.run();
  };

  private redraw(): void {
    for (const redraw of this.watchers.keys()) redraw();
  }
}

const polls = new Map<string, Poll<unknown>>();

function pollOf<T>(key: string): Poll<T> {
  let poll = polls.get(key);
  if (!poll) {
    poll = new Poll();
    polls.set(key, poll);
  }
  return poll as Poll<T>;
}

/**
 * Poll a resource.
 *
 * @param key Names the resource with all its parameters. Parts of the page with the same key share one poll.
 * @param read Makes the call.
 * @param seconds Pause between two polls; 0 reads once.
 */
export function usePoll<T>(key: string, read: Read<T>, seconds = 2): Polled<T> {
  const [, count] = useState(0);
  const poll = pollOf<T>(key);
  const { data } = poll;
  useEffect(() => poll.watch(read, seconds, () => count((number) => number + 1), data), [key, seconds]);
  return { data, error: poll.error, refresh: () => void poll.run() };
}
