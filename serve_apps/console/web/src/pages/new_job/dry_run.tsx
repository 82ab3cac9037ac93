/** What would happen if the form were sent: asked again, a moment after each change. */
import type { UploadCheck } from "../../api/types";
import { duration, plural, resources } from "../../ui/format";
import { Facts } from "../../ui/parts";
import { type Checked, useChecked } from "./checked";
import { type Draft, type Request, requestOf } from "./draft";

/** Larger projects are checked when they are sent: each check carries the whole archive. */
const MOST_BYTES = 1024 * 1024;

export function useDryRun(draft: Draft): Checked<UploadCheck> {
  return useChecked(draft, askedOf, "/mlops/training/upload?dry_run=true");
}

function askedOf(draft: Draft): Request | undefined {
  return isSmall(draft) ? requestOf(draft) : undefined;
}

export function isSmall(draft: Draft): boolean {
  return draft.file !== undefined && draft.file.size <= MOST_BYTES;
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
          ["Asks for", `${resources(found.resources.cpus, found.resources.memory, found.resources.gpus)} · ${duration(found.timeout_seconds)} at most`],
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
