/** Checks a form while it is filled: its dry run is asked for a moment after each change. */
import { useEffect, useState } from "preact/hooks";
import { send } from "../../access/key";
import { ApiError, problemOf } from "../../api/client";
import type { Request } from "./draft";

const PAUSE_MS = 500;

export interface Checked<T> {
  found: T | undefined;
  error: ApiError | undefined;
}

/**
 * Ask again for each new draft.
 *
 * @param requestOf The request of a draft; undefined where there is nothing to ask.
 * @param path Where the dry run is sent.
 */
export function useChecked<D, T>(draft: D, requestOf: (draft: D) => Request | undefined, path: string): Checked<T> {
  const [checked, setChecked] = useState<Checked<T>>({ found: undefined, error: undefined });
  useEffect(() => {
    const request = requestOf(draft);
    if (!request) {
      setChecked({ found: undefined, error: undefined });
      return;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => {
      void ask<T>(request, path, stop.signal).then(
        (result) => !stop.signal.aborted && setChecked(result),
        () => {}, // The banner tells that the platform is away.
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [draft]);
  return checked;
}

async function ask<T>({ body, headers }: Request, path: string, signal: AbortSignal): Promise<Checked<T>> {
  const response = await send(path, { method: "POST", headers, body, signal });
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok) return { found: answer as T, error: undefined };
  if (response.status >= 500) throw new Error("unavailable");
  return { found: undefined, error: new ApiError(response.status, problemOf(answer, response)) };
}
