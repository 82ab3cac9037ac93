import { beforeEach, describe, expect, test, vi } from "vitest";

const reload = vi.fn();
vi.stubGlobal("location", { origin: "http://127.0.0.1:8000", pathname: "/console/jobs", search: "?a=1", reload });

/** Requests that were sent. The platform takes the key "good" alone. */
const sent: Request[] = [];
let status = 401;
vi.stubGlobal("fetch", async (request: Request) => {
  sent.push(request);
  const isKnown = request.headers.get("authorization") === "Bearer good";
  return isKnown ? new Response(null, { status: 204 }) : new Response(status === 204 ? null : "{}", { status });
});

/** The page as it begins. */
async function page() {
  vi.resetModules();
  return { ...(await import("../src/access/key")), ...(await import("../src/ui/snippets")), ...(await import("../src/api/client")) };
}

beforeEach(() => {
  sent.length = 0;
  status = 401;
  reload.mockClear();
});

describe("a platform that asks for a key", () => {
  test("is asked without the browser's dialog, and the form comes", async () => {
    const { keyIs, send } = await page();
    expect((await send("/mlops/overview")).status).toBe(401);
    expect(keyIs.value).toBe("needed");
    expect([sent[0]?.url, sent[0]?.credentials]).toEqual(["http://127.0.0.1:8000/mlops/overview", "same-origin"]);
    expect(sent[0]?.headers.get("x-raylift-console")).toBe("1");
  });

  test("a wrong key is not kept", async () => {
    const { signIn } = await page();
    expect(await signIn("bad")).toBe(false);
    expect(reload).not.toHaveBeenCalled();
  });

  test("a right key becomes a session, and no script keeps it", async () => {
    const { api, send, signIn } = await page();
    expect(await signIn("good")).toBe(true);
    expect([sent[0]?.method, new URL(sent[0]?.url ?? "").pathname]).toEqual(["POST", "/mlops/auth/session"]);
    expect(reload).toHaveBeenCalledOnce();
    await send("/mlops/training/upload", { method: "POST", body: "x", headers: { "Idempotency-Key": "k" } });
    await api.GET("/mlops/overview", { headers: { "If-None-Match": "tag" } });
    const [, upload, overview] = sent;
    expect([upload?.method, upload?.headers.get("idempotency-key")]).toEqual(["POST", "k"]);
    expect(overview?.headers.get("if-none-match")).toBe("tag");
    expect(sent.slice(1).every((request) => !request.headers.has("authorization"))).toBe(true);
  });

  test("a session that has ended is refused", async () => {
    const { asksForKeys, keyIs, send } = await page();
    asksForKeys.value = true;
    await send("/mlops/overview");
    expect(keyIs.value).toBe("refused");
  });

  test("signing out ends the session on the platform", async () => {
    const { signOut } = await page();
    await expect(signOut()).rejects.toThrow("401");
    expect(reload).not.toHaveBeenCalled();
    status = 204;
    await signOut();
    expect([sent[1]?.method, reload.mock.calls.length]).toEqual(["DELETE", 1]);
  });

  test("the provider leads back to the page", async () => {
    expect((await page()).providerPage()).toBe("/mlops/auth/start?to=%2Fconsole%2Fjobs%3Fa%3D1");
  });

  test("curl takes the key from the environment, never from the page", async () => {
    const { asksForKeys, curl } = await page();
    expect(curl("DELETE", "/x")).toBe("curl -X DELETE http://127.0.0.1:8000/x");
    asksForKeys.value = true;
    expect(curl("DELETE", "/x")).toBe('curl -X DELETE -H "Authorization: Bearer $RAYLIFT_API_KEY" http://127.0.0.1:8000/x');
  });
});
