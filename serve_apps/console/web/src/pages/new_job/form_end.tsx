/** What stands below a form: why it was refused, and its button. */
import type { Right } from "../../access/may";
import { summaryOf } from "./new_job";

export function FormEnd({ error, isSending, right, action }: { error: unknown; isSending: boolean; right: Right; action: string }) {
  return (
    <>
      {error !== undefined && (
        <p class="field-error" role="alert">
          {summaryOf(error)}
        </p>
      )}
      <div class="form-end">
        <button type="submit" class="primary" aria-disabled={isSending} disabled={!right.isGiven} title={right.why}>
          {isSending ? "Sending…" : action}
        </button>
      </div>
    </>
  );
}
