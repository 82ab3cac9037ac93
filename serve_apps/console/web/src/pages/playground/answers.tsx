/** Answers of one version, or of two side by side. */
import type { components } from "../../api/schema";
import { duration, metric, percent, quantity } from "../../ui/format";
import { Feedback } from "./feedback";
import { Waiting } from "./waiting";

export interface Reply {
  answer: components["schemas"]["InferenceResponse"];
  seconds: number;
  requestId: string;
}

const MOST_ROWS = 100;

interface AnswersProps {
  name: string;
  /** Those that are asked. */
  versions: string[];
  replies: Reply[];
  isAsking: boolean;
}

export function Answers({ name, versions, replies, isAsking }: AnswersProps) {
  if (isAsking) return <Waiting name={name} versions={versions} />;
  if (!replies.length) return <p class="muted">The answer comes here.</p>;
  return (
    <div class="answers" role="status">
      {replies.map((reply, index) => (
        <Answer key={index} reply={reply} other={replies[1 - index]} />
      ))}
    </div>
  );
}

function Answer({ reply, other }: { reply: Reply; other: Reply | undefined }) {
  const { answer, seconds } = reply;
  const rows = answer.predictions.slice(0, MOST_ROWS);
  return (
    <section aria-label={`Answer of version ${answer.model_version}`}>
      <h2>
        {answer.model_name} v{answer.model_version}
      </h2>
      <p class="muted number">
        {duration(seconds)} from here, {quantity(Number((answer.inference_time_ms as number).toPrecision(2)))} ms of it in the model
      </p>
      <ol class="predictions">
        {rows.map((prediction, index) => (
          <li key={index} class={other && differs(prediction, other.answer.predictions[index]) ? "differs" : undefined}>
            <b class="prediction">{text(prediction)}</b>
            <Shares shares={answer.probabilities?.[index]} classes={answer.classes} />
          </li>
        ))}
      </ol>
      <Feedback key={reply.requestId} model={answer.model_name} version={answer.model_version} requestId={reply.requestId} rows={answer.predictions.length} />
      {answer.predictions.length > MOST_ROWS && <p class="muted">The first {MOST_ROWS} of {answer.predictions.length} rows.</p>}
    </section>
  );
}

type Numbers = (number | null)[];

function Shares({ shares, classes }: { shares: Numbers | undefined; classes: Reply["answer"]["classes"] }) {
  if (!shares) return null;
  return (
    <ul class="class-shares">
      {shares.map((share, index) => (
        <li key={index}>
          <span>{text(classes?.[index] ?? index)}</span>
          <meter value={share ?? 0} max={1} aria-label={`Probability of ${text(classes?.[index] ?? index)}`} />
          <span class="number">{percent(share)}</span>
        </li>
      ))}
    </ul>
  );
}

function text(value: unknown): string {
  if (typeof value === "number") return metric(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

function differs(first: unknown, second: unknown): boolean {
  return JSON.stringify(first) !== JSON.stringify(second);
}
