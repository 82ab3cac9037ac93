import { expect, test, vi } from "vitest";

vi.stubGlobal("location", { origin: "http://127.0.0.1:8000" });
const { pauseAfter } = await import("../src/api/poll");

test("pauses grow while the platform is away, up to half a minute", () => {
  expect([0, 1, 2, 3, 4, 9].map((failures) => pauseAfter(failures, 2))).toEqual([2, 4, 8, 16, 30, 30]);
  expect(pauseAfter(3, 60)).toBe(60);
});
