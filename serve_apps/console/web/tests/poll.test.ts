import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { origin: "http://127.0.0.1:8000" });
vi.stubGlobal("document", { hidden: false, addEventListener: vi.fn(), removeEventListener: vi.fn() });
const acts: (() => void)[] = [];
vi.stubGlobal("addEventListener", (_kind: string, act: () => void) => acts.push(act));
const { Poll, pauseAfter } = await import("../src/api/poll");

test("pauses grow while the platform is away, up to half a minute", () => {
  expect([0, 1, 2, 3, 4, 9].map((failures) => pauseAfter(failures, 2))).toEqual([2, 4, 8, 16, 30, 30]);
  expect(pauseAfter(3, 60)).toBe(60);
});

test("a part of the page that was drawn before an answer and watches after it is drawn again", async () => {
  const answer = { data: "new", response: new Response(null, { headers: { ETag: "a" } }) };
  const unchanged = { response: new Response(null, { status: 304 }) };
  const read = vi.fn().mockResolvedValue(unchanged).mockResolvedValueOnce(answer);
  const poll = new Poll<string>();
  const ends = [poll.watch(read, 0, vi.fn(), undefined)];
  await vi.waitFor(() => expect(poll.data).toBe("new"));
  const late = vi.fn();
  ends.push(poll.watch(read, 0, late, undefined));
  expect(late).toHaveBeenCalledOnce();
  const current = vi.fn();
  ends.push(poll.watch(read, 0, current, "new"));
  expect(current).not.toHaveBeenCalled();
  for (const end of ends) end();
});

test("what does not change is asked for less often once nobody touches the page, and at once when somebody does", async () => {
  vi.useFakeTimers();
  const act = () => acts[0]?.();
  act();
  const read = vi.fn(async () => ({ response: new Response(null, { status: 304 }) }));
  const poll = new Poll<string>();
  const end = poll.watch(read, 2, vi.fn(), undefined);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(read).toHaveBeenCalledTimes(31);
  await vi.advanceTimersByTimeAsync(80_000);
  const later = read.mock.calls.length - 31;
  expect(later).toBeGreaterThanOrEqual(9);
  expect(later).toBeLessThanOrEqual(12);
  act();
  expect(read).toHaveBeenCalledTimes(31 + later + 1);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(read).toHaveBeenCalledTimes(31 + later + 6);
  end();
  act();
  vi.useRealTimers();
});
