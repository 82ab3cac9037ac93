/** Reads a resource again and again: with its ETag, not in a hidden tab, with longer pauses while the platform is away. */
import { useEffect, useRef, useState } from "preact/hooks";
import { type Answer, ApiError, problemOf } from "./client";
import { answered, failed } from "./connection";

const LONGEST_PAUSE_SECONDS = 30;

/** Options of the call: pass them to `api.GET`. */
export type Call = {
  headers: Record<string, string>;
  signal: AbortSignal;
  cache: "no-store";
};

export interface Polled<T> {
  data: T | undefined;
  /** The platform's refusal, e.g. 404. A platform that does not answer is no error: the banner says so. */
  error: ApiError | undefined;
  /** Reads at once, e.g. after an action. */
  refresh: () => void;
}

interface Known {
  tag: string;
  data: unknown;
}

/** Newest answers by key, so that a page that is opened again is there at once. */
const known = new Map<string, Known>();

/** Seconds to wait after `failures` failed polls in a row. */
export function pauseAfter(failures: number, seconds: number): number {
  return Math.min(seconds * 2 ** failures, Math.max(seconds, LONGEST_PAUSE_SECONDS));
}

/**
 * Poll a resource.
 *
 * @param key Names the resource with all its parameters. A new key starts anew.
 * @param read Makes the call.
 * @param seconds Pause between two polls; 0 reads once.
 */
export function usePoll<T>(key: string, read: (call: Call) => Promise<Answer<T>>, seconds = 2): Polled<T> {
  const [, redraw] = useState(0);
  const state = useRef<{ key: string; error: ApiError | undefined; run: () => void }>({ key, error: undefined, run: () => {} });
  const reader = useRef(read);
  reader.current = read;
  if (state.current.key !== key) state.current = { key, error: undefined, run: state.current.run };

  useEffect(() => {
    const stop = new AbortController();
    let timer: number | undefined;
    let failures = 0;
    let isReading = false;

    async function run(): Promise<void> {
      if (isReading || stop.signal.aborted) return;
      clearTimeout(timer);
      isReading = true;
      try {
        await once();
        failures = 0;
        answered();
      } catch (error) {
        if (stop.signal.aborted) return;
        if (error instanceof ApiError && error.status < 500) {
          failures = 0;
          answered();
          state.current.error = error;
          redraw((count) => count + 1);
        } else {
          failures += 1;
          failed();
        }
      } finally {
        isReading = false;
      }
      plan();
    }

    async function once(): Promise<void> {
      const before = known.get(key);
      const headers: Record<string, string> = before ? { "If-None-Match": before.tag } : {};
      const { data, error, response } = await reader.current({ headers, signal: stop.signal, cache: "no-store" });
      if (stop.signal.aborted || response.status === 304) return;
      if (!response.ok) throw new ApiError(response.status, problemOf(error, response));
      known.set(key, { tag: response.headers.get("ETag") ?? "", data });
      state.current.error = undefined;
      redraw((count) => count + 1);
    }

    function plan(): void {
      clearTimeout(timer);
      if (stop.signal.aborted || document.hidden || (seconds === 0 && failures === 0)) return;
      timer = setTimeout(() => void run(), 1000 * pauseAfter(failures, seconds || 2));
    }

    function onVisibility(): void {
      if (document.hidden) clearTimeout(timer);
      else if (seconds > 0 || failures > 0) void run();
    }

    state.current.run = () => void run();
    document.addEventListener("visibilitychange", onVisibility);
    void run();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisibility);
    };
  }, [key, seconds]);

  return { data: known.get(key)?.data as T | undefined, error: state.current.error, refresh: () => state.current.run() };
}
