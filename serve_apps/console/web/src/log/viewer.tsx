/** A log of any length: only the rows in sight are in the page. */
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { bytes, grouped, plural } from "../ui/format";
import { piecesOf, plainText } from "./ansi";
import { LogLines } from "./lines";
import { follow } from "./stream";

const ROW = 18;
const SPARE_ROWS = 20;

export interface LogViewerProps {
  jobId: string;
  /** null: the newest attempt. */
  attempt: number | null;
  isFinal: boolean;
}

export function LogViewer({ jobId, attempt, isFinal }: LogViewerProps) {
  const log = useMemo(() => new LogLines(), [jobId, attempt]);
  const [count, setCount] = useState(0);
  const [isOver, setOver] = useState(false);
  const [cut, setCut] = useState(0);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(400);
  const [isFollowing, setFollowing] = useState(true);
  const [wanted, setWanted] = useState("");
  const [chosen, setChosen] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const isLive = !isOver && !isFinal;
  const search = useRef<HTMLInputElement>(null);

  useEffect(() => {
    let frame = 0;
    const draw = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        setCount(log.count);
      });
    };
    setOver(false);
    setFollowing(true);
    const stop = follow(jobId, attempt, {
      onText: (text) => {
        log.append(text);
        draw();
      },
      onCut: setCut,
      onAttempt: (number) => {
        log.append(`\n── attempt ${number} ──\n`);
        draw();
      },
      onEnd: () => {
        setOver(true);
        draw();
      },
    });
    return () => {
      stop();
      cancelAnimationFrame(frame);
    };
  }, [log]);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const watch = new ResizeObserver(() => setHeight(element.clientHeight));
    watch.observe(element);
    return () => watch.disconnect();
  }, []);

  useLayoutEffect(() => {
    if (isFollowing && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [count, isFollowing, height]);

  const found = useMemo(() => log.find(wanted, plainText), [log, wanted, count]);
  const hit = found[Math.min(chosen, found.length - 1)];

  const show = (index: number) => {
    const line = found[index];
    if (line === undefined || !box.current) return;
    setChosen(index);
    setFollowing(false);
    box.current.scrollTop = Math.max(0, line * ROW - height / 2);
  };
  const step = (by: number) => found.length && show((chosen + by + found.length) % found.length);

  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    setTop(element.scrollTop);
    setFollowing(element.scrollTop + element.clientHeight >= element.scrollHeight - ROW);
  };
  const onKeyDown = (event: JSX.TargetedKeyboardEvent<HTMLInputElement>) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") {
      setWanted("");
      event.currentTarget.blur();
    }
  };

  const first = Math.max(0, Math.floor(top / ROW) - SPARE_ROWS);
  const last = Math.min(count, Math.ceil((top + height) / ROW) + SPARE_ROWS);
  const rows: JSX.Element[] = [];
  for (let index = first; index < last; index += 1) {
    rows.push(<Line key={index} index={index} text={log.at(index)} wanted={wanted} isHit={index === hit} />);
  }

  return (
    <section class="log" aria-label="Log">
      <div class="log-bar">
        <input
          ref={search}
          type="search"
          data-find
          placeholder="Find in log"
          aria-label="Find in log"
          value={wanted}
          onInput={(event) => {
            setWanted(event.currentTarget.value);
            setChosen(0);
          }}
          onKeyDown={onKeyDown}
        />
        {wanted && (
          <>
            <span class="muted number" role="status">
              {found.length ? `${grouped(chosen + 1)} of ${grouped(found.length)}` : "nothing found"}
            </span>
            <button type="button" class="quiet" onClick={() => step(-1)} aria-label="Previous match">
              ↑
            </button>
            <button type="button" class="quiet" onClick={() => step(1)} aria-label="Next match">
              ↓
            </button>
          </>
        )}
        <span class="spread" />
        <span class="muted number">
          {cut > 0 && `${bytes(cut)} before these are in the download · `}
          {plural(count, "line")}
        </span>
        {isLive && <span class="live">live</span>}
        {(isLive || !isFollowing) && (
          <button type="button" class="quiet" aria-pressed={isFollowing} onClick={() => setFollowing(true)}>
            {isFollowing ? "Following the end" : "Jump to end"}
          </button>
        )}
        <a class="button quiet" href={`/mlops/training/jobs/${encodeURIComponent(jobId)}/logs`} download={`${jobId}.log`}>
          Download
        </a>
      </div>
      {/* Focusable, so that the keyboard scrolls it. */}
      <div class={count === 0 && !isLive ? "log-rows none" : "log-rows"} ref={box} onScroll={onScroll} tabIndex={0} role="log" aria-live="off" aria-label="Output of the script">
        {count === 0 && <p class="log-empty">{isLive ? "No output yet." : "The script printed nothing."}</p>}
        <div class="log-space" style={{ height: `${count * ROW}px` }}>
          <div class="log-window" style={{ transform: `translateY(${first * ROW}px)` }}>
            {rows}
          </div>
        </div>
      </div>
    </section>
  );
}

interface LineProps {
  index: number;
  text: string;
  wanted: string;
  isHit: boolean;
}

function Line({ index, text, wanted, isHit }: LineProps) {
  return (
    <div class={isHit ? "log-line hit" : "log-line"}>
      <span class="log-number">{index + 1}</span>
      <code>
        {piecesOf(text).map((piece, number) => (
          <span key={number} class={piece.look || undefined}>
            {wanted ? marked(piece.text, wanted) : piece.text}
          </span>
        ))}
      </code>
    </div>
  );
}

function marked(text: string, wanted: string): (JSX.Element | string)[] {
  const parts: (JSX.Element | string)[] = [];
  const low = text.toLowerCase();
  let end = 0;
  for (let at = low.indexOf(wanted.toLowerCase()); at !== -1; at = low.indexOf(wanted.toLowerCase(), end)) {
    if (at > end) parts.push(text.slice(end, at));
    parts.push(<mark key={at}>{text.slice(at, at + wanted.length)}</mark>);
    end = at + wanted.length;
  }
  if (end < text.length) parts.push(text.slice(end));
  return parts;
}
