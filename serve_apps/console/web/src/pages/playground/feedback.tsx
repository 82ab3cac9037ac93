/** Sends what really happened, for the quality of a version over time. */
import { useState } from "preact/hooks";
import { api, dataOf, messageOf } from "../../api/client";
import { truthOf } from "./truth";

export interface FeedbackProps {
  model: string;
  version: string;
  requestId: string;
  rows: number;
}

export function Feedback({ model, version, requestId, rows }: FeedbackProps) {
  const [text, setText] = useState("");
  const [said, say] = useState("");
  const [error, setError] = useState("");
  const submit = async (event: Event) => {
    event.preventDefault();
    say("");
    setError("");
    try {
      const body = { request_id: requestId, true_value: truthOf(text, rows) };
      await dataOf(api.POST("/mlops/models/{name}/versions/{version}/feedback", { params: { path: { name: model, version } }, body: body as never }));
      say("Kept. It counts for this version's quality.");
    } catch (failure) {
      setError(messageOf(failure));
    }
  };
  return (
    <form class="truth" onSubmit={(event) => void submit(event)}>
      <label>
        {rows === 1 ? "What was true" : `What was true, ${rows} values`}
        <input value={text} placeholder={rows === 1 ? "1" : "1, 0, …"} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <button type="submit" disabled={!text.trim()}>
        Send
      </button>
      {said && (
        <span class="muted" role="status">
          {said}
        </span>
      )}
      {error && (
        <span class="field-error" role="alert">
          {error}
        </span>
      )}
    </form>
  );
}
