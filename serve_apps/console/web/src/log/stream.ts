/** The log of a job: one event stream while it is visible, resumed where it stopped. */
import { isAway } from "../api/connection";

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
  let source: EventSource | undefined;
  let position = "";
  let isOver = false;

  function open(): void {
    if (source || isOver || document.hidden) return;
    const query = new URLSearchParams({ follow: "true", encoding: "json" });
    if (position) query.set("position", position);
    else query.set("tail", String(TAIL_LINES));
    if (attempt !== null) query.set("attempt", String(attempt));
    source = new EventSource(`/mlops/training/jobs/${encodeURIComponent(jobId)}/logs?${query}`);
    source.onmessage = (event) => {
      const text = JSON.parse(event.data) as string;
      if (!position) {
        const begin = Number(event.lastEventId.split(":").pop()) - new TextEncoder().encode(text).length;
        if (begin > 0) events.onCut(begin);
      }
      position = event.lastEventId;
      events.onText(text);
    };
    source.addEventListener("attempt", (event) => {
      position = event.lastEventId;
      events.onAttempt((JSON.parse(event.data) as { attempt: number }).attempt);
    });
    source.addEventListener("end", () => {
      isOver = true;
      close();
      events.onEnd();
    });
    source.onerror = () => {
      // The browser reconnects by itself, unless the answer was an error.
      if (source?.readyState === EventSource.CLOSED) {
        close();
        setTimeout(open, isAway.value ? 5000 : 2000);
      }
    };
  }

  function close(): void {
    source?.close();
    source = undefined;
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
