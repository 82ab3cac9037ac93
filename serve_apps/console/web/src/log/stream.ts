/** The log of a job: one event stream while it is visible, resumed where it stopped. */
import { send } from "../access/key";
import { isAway } from "../api/connection";
import { readEvents, type ServerEvent } from "./events";

export interface LogEvents {
  onText: (text: string) => void;
  /** The log began earlier: so many bytes are left out. */
  onCut: (bytes: number) => void;
  onAttempt: (attempt: number) => void;
  onEnd: () => void;
}

/** Lines that are read of a log that is long already. The whole log is a download. */
export const TAIL_LINES = 100_000;

/** Follow a job's log. Returns what stops it. */
export function follow(jobId: string, attempt: number | null, events: LogEvents): () => void {
  let stream: AbortController | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let position = "";
  let isOver = false;

  function open(): void {
    clearTimeout(timer);
    if (stream || isOver || document.hidden) return;
    const query = new URLSearchParams({ follow: "true", encoding: "json" });
    if (position) query.set("position", position);
    else query.set("tail", String(TAIL_LINES));
    if (attempt !== null) query.set("attempt", String(attempt));
    stream = new AbortController();
    void read(`/mlops/training/jobs/${encodeURIComponent(jobId)}/logs?${query}`, stream);
  }

  async function read(path: string, mine: AbortController): Promise<void> {
    try {
      const answer = await send(path, { headers: { Accept: "text/event-stream" }, cache: "no-store", signal: mine.signal });
      if (answer.ok && answer.body) await readEvents(answer.body, (event) => stream === mine && take(event));
    } catch (error) {
      // The connection broke off, or `close` ended it.
      if (!(error instanceof TypeError || mine.signal.aborted)) throw error;
    }
    if (stream !== mine) return;
    stream = undefined;
    timer = setTimeout(open, isAway.value ? 5000 : 2000);
  }

  function take(event: ServerEvent): void {
    if (event.name === "end") {
      isOver = true;
      close();
      events.onEnd();
    } else if (event.name === "refused") {
      // The stream ends now. The next one is refused as every request with this key is.
      return;
    } else if (event.name === "attempt") {
      position = event.id;
      events.onAttempt((JSON.parse(event.data) as { attempt: number }).attempt);
    } else {
      const text = JSON.parse(event.data) as string;
      if (!position) {
        const begin = Number(event.id.split(":").pop()) - new TextEncoder().encode(text).length;
        if (begin > 0) events.onCut(begin);
      }
      position = event.id;
      events.onText(text);
    }
  }

  function close(): void {
    clearTimeout(timer);
    const ended = stream;
    stream = undefined;
    ended?.abort();
  }

  const onVisibility = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", onVisibility);
  open();
  return () => {
    isOver = true;
    document.removeEventListener("visibilitychange", onVisibility);
    close();
  };
}
