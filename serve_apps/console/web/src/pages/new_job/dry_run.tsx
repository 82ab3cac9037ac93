/** What would happen if the form were sent: asked again, a moment after each change. */
import { useEffect, useRef, useState } from "preact/hooks";
import { send } from "../../access/key";
import { ApiError, problemOf } from "../../api/client";
import type { UploadCheck } from "../../api/types";
import { bytes, duration, plural, quantity } from "../../ui/format";
import { Facts } from "../../ui/parts";
import { type Draft, requestOf } from "./draft";

const PAUSE_MS = 500;
/** Larger projects are checked when they are sent: each check carries the whole archive. */
const MOST_BYTES = 1024 * 1024;

export interface Checked {
  found: UploadCheck | undefined;
  error: ApiError | undefined;
}

export function useDryRun(draft: Draft): Checked {
  const [checked, setChecked] = useState<Checked>({ found: undefined, error: undefined });
  const last = useRef<AbortController>();
  useEffect(() => {
    if (!draft.file || draft.file.size > MOST_BYTES) {
      setChecked({ found: undefined, error: undefined });
      return;
    }
    const stop = new AbortController();
    last.current = stop;
    const timer = setTimeout(() => {
      void check(draft, stop.signal).then(
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

async function check(draft: Draft, signal: AbortSignal): Promise<Checked> {
  const { body, headers } = requestOf(draft);
  const response = await send("/mlops/training/upload?dry_run=true", { method: "POST", headers, body, signal });
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok) return { found: answer as UploadCheck, error: undefined };
  if (response.status >= 500) throw new Error("unavailable");
  return { found: undefined, error: new ApiError(response.status, problemOf(answer, response)) };
}

export function DryRun({ found }: { found: UploadCheck | undefined }) {
  if (!found) return null;
  return (
    <section class="dry-run" aria-labelledby="dry-run">
      <h2 id="dry-run">What will happen</h2>
      <Facts
        items={[
          ["Makes", found.jobs === 1 ? "1 job" : `${found.jobs} jobs of one sweep`],
          ["Starts", found.waits_for ?? "at once"],
          ["Fits", found.nodes.length ? found.nodes.join(", ") : "no node is known now"],
          ["Asks for", `${quantity(found.resources.cpus)} CPU · ${bytes(found.resources.memory)} · ${duration(found.timeout_seconds)} at most`],
          ["Requirements", found.requirements.length ? `${found.requirements.join(", ")} (${found.requirements_source ?? "request"})` : "the platform's own packages"],
          ["Registers", found.model_name ?? "nothing"],
        ]}
      />
      {found.notes.length > 0 && (
        <ul aria-label={plural(found.notes.length, "warning")}>
          {found.notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
    </section>
  );
}
