import { beforeEach, describe, expect, test, vi } from "vitest";

const stored = new Map<string, string>();
const reload = vi.fn();
vi.stubGlobal("location", { origin: "http://127.0.0.1:8000", reload });
vi.stubGlobal("sessionStorage", {
  getItem: (name: string) => stored.get(name) ?? null,
  setItem: (name: string, value: string) => stored.set(name, value),
  removeItem: (name: string) => stored.delete(name),
});

/** Requests that were sent. The platform takes the key "good" alone. */
const sent: Request[] = [];
vi.stubGlobal("fetch", async (request: Request) => {
  sent.push(request);
  const isKnown = request.headers.get("authorization") === "Bearer good";
  return new Response(isKnown ? "{}" : '{"detail": "no key"}', { status: isKnown ? 200 : 401 });
});

/** The page as it begins with what this tab keeps. */
async function page() {
  vi.resetModules();
  return { ...(await import("../src/access/key")), ...(await import("../src/ui/snippets")), ...(await import("../src/api/client")) };
}

beforeEach(() => {
  stored.clear();
  sent.length = 0;
  reload.mockClear();
});

describe("a platform that asks for a key", () => {
  test("is asked without a password of the browser, and the form comes", async () => {
    const { hasKey, keyIs, send } = await page();
    expect((await send("/mlops/overview")).status).toBe(401);
    expect([hasKey(), keyIs.value]).toEqual([false, "needed"]);
    expect([sent[0]?.url, sent[0]?.credentials]).toEqual(["http://127.0.0.1:8000/mlops/overview", "omit"]);
    expect(sent[0]?.headers.has("authorization")).toBe(false);
  });

  test("a wrong key is not kept", async () => {
    const { signIn } = await page();
    expect(await signIn("bad")).toBe(false);
    expect([stored.size, reload.mock.calls.length]).toEqual([0, 0]);
  });

  test("a right key is kept for the tab, and sent with every request from then on", async () => {
    expect(await (await page()).signIn("good")).toBe(true);
    expect([[...stored.values()], reload.mock.calls.length]).toEqual([["good"], 1]);
    const { api, keyIs, send } = await page();
    await send("/mlops/training/upload", { method: "POST", body: "x", headers: { "Idempotency-Key": "k" } });
    await api.GET("/mlops/overview", { headers: { "If-None-Match": "tag" } });
    expect(keyIs.value).toBe("accepted");
    const [, upload, overview] = sent;
    expect([upload?.method, upload?.headers.get("idempotency-key")]).toEqual(["POST", "k"]);
    expect([overview?.headers.get("authorization"), overview?.headers.get("if-none-match")]).toEqual(["Bearer good", "tag"]);
    expect(sent.every((request) => request.credentials === "omit")).toBe(true);
  });

  test("a key that was revoked is refused", async () => {
    stored.set("raylift.key", "old");
    const { keyIs, send } = await page();
    await send("/mlops/overview");
    expect(keyIs.value).toBe("refused");
  });

  test("signing out forgets the key", async () => {
    stored.set("raylift.key", "good");
    const { hasKey, send, signOut } = await page();
    signOut();
    expect([hasKey(), stored.size, reload.mock.calls.length]).toEqual([false, 0, 1]);
    await send("/mlops/overview");
    expect(sent[0]?.headers.has("authorization")).toBe(false);
  });

  test("curl takes the key from the environment, never from the page", async () => {
    expect((await page()).curl("DELETE", "/x")).toBe("curl -X DELETE http://127.0.0.1:8000/x");
    stored.set("raylift.key", "good");
    expect((await page()).curl("DELETE", "/x")).toBe(
      'curl -X DELETE -H "Authorization: Bearer $RAYLIFT_API_KEY" http://127.0.0.1:8000/x',
    );
  });
});
