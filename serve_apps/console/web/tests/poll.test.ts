import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { origin: "http://127.0.0.1:8000" });
vi.stubGlobal("document", { hidden: false, addEventListener: vi.fn(), removeEventListener: vi.fn() });
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
