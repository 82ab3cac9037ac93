import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { EventParser } from "../src/log/events";

const JOB = "job_1";
let answers: (() => Response)[] = [];
let asked: Request[] = [];
const page = { hidden: false, listeners: [] as (() => void)[] };
vi.stubGlobal("location", { origin: "http://127.0.0.1:8000" });
vi.stubGlobal("document", {
  get hidden() {
    return page.hidden;
  },
  addEventListener: (_: string, listener: () => void) => page.listeners.push(listener),
  removeEventListener: () => {},
});
vi.stubGlobal("fetch", async (request: Request) => {
  asked.push(request);
  return (answers.shift() ?? open)();
});
const { follow } = await import("../src/log/stream");

const text = (body: string) => () => new Response(body);
/** An answer that goes on. */
const open = () => new Response(new ReadableStream());

function followed(): { seen: unknown[]; stop: () => void } {
  const seen: unknown[] = [];
  const note = (kind: string) => (value?: unknown) => seen.push(value === undefined ? kind : [kind, value]);
  const stop = follow(JOB, null, { onText: note("text"), onCut: note("cut"), onAttempt: note("attempt"), onEnd: note("end") });
  return { seen, stop };
}

beforeEach(() => {
  vi.useFakeTimers();
  answers = [];
  asked = [];
  page.hidden = false;
});
afterEach(() => vi.useRealTimers());

describe("events of a stream", () => {
  test("come in any pieces, and comments are none", () => {
    const parser = new EventParser();
    const whole = 'id: 4\ndata: "a\\n"\n\n: still running\n\nid: 2:0\nevent: attempt\ndata: {}\n\n';
    const pieces = [...whole].flatMap((character) => parser.push(character));
    expect(pieces).toEqual([
      { name: "message", id: "4", data: '"a\\n"' },
      { name: "attempt", id: "2:0", data: "{}" },
    ]);
  });
});

describe("a followed log", () => {
  test("is asked for with the session, and ends once", async () => {
    answers = [text('id: 10\ndata: "a\\n"\n\nid: 2:0\nevent: attempt\ndata: {"attempt": 2}\n\nid: 2:0\nevent: end\ndata: {}\n\n')];
    const { seen } = followed();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(seen).toEqual([["cut", 8], ["text", "a\n"], ["attempt", 2], "end"]);
    expect(asked.map((request) => request.credentials)).toEqual(["same-origin"]);
  });

  test("goes on after its last event when the connection breaks off", async () => {
    answers = [text('id: 2\ndata: "a\\n"\n\nid: 4\nda'), text('id: 4\ndata: "b\\n"\n\n'), open];
    const { seen, stop } = followed();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(seen).toEqual([
      ["text", "a\n"],
      ["text", "b\n"],
    ]);
    expect(asked.map((request) => new URL(request.url).searchParams.get("position"))).toEqual([null, "2", "4"]);
    stop();
    expect(asked.at(-1)?.signal.aborted).toBe(true);
  });

  test("goes on with the next key after its own has ended", async () => {
    answers = [text('id: 2\ndata: "a\\n"\n\nevent: refused\ndata: {"code": "unauthenticated", "detail": "gone"}\n\n'), open];
    const { seen, stop } = followed();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(seen).toEqual([["text", "a\n"]]);
    expect(asked.map((request) => new URL(request.url).searchParams.get("position"))).toEqual([null, "2"]);
    stop();
  });

  test("is not read in a hidden tab", async () => {
    const { stop } = followed();
    page.hidden = true;
    for (const listener of page.listeners) listener();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked.map((request) => request.signal.aborted)).toEqual([true]);
    stop();
  });
});
