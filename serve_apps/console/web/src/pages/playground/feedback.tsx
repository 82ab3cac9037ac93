/** Sends what really happened, for the quality of a version over time. */
import { useState } from "preact/hooks";
import { api, dataOf, messageOf } from "../../api/client";

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

/** The typed values: JSON where it is some, else text; one for each row. Throws a sentence. */
export function truthOf(text: string, rows: number): unknown {
  const values = rows === 1 ? [text] : text.split(",");
  const read = values.map((value) => {
    const typed = value.trim();
    try {
      return JSON.parse(typed) as unknown;
    } catch {
      return typed;
    }
  });
  if (rows === 1) return read[0];
  const list = read.length === 1 && Array.isArray(read[0]) ? (read[0] as unknown[]) : read;
  if (list.length !== rows) throw new Error(`${rows} rows were asked: give ${rows} values, with commas between them.`);
  return list;
}
