/** Sessions of a platform that asks for keys. The key is in a cookie that no script can read; the browser sends it by itself. */
import { signal } from "@preact/signals";

/** What the platform said about the session: nothing yet, that it needs one, or that it has ended. */
export const keyIs = signal<"accepted" | "needed" | "refused">("accepted");
/** Whether the platform asks for keys, as it says with the caller's name (who.tsx). */
export const asksForKeys = signal(false);

export function hasKey(): boolean {
  return asksForKeys.value;
}

/** Call the platform, with the session if there is one. `to` is a request, or a path. */
export async function send(to: Request | string, how: RequestInit = {}): Promise<Response> {
  const answer = await fetch(requestOf(to, how));
  if (answer.status === 401) keyIs.value = asksForKeys.value ? "refused" : "needed";
  return answer;
}

/** Return whether the platform takes this key. The browser keeps it then, and the page begins anew: what another key saw is gone. */
export async function signIn(entered: string): Promise<boolean> {
  const answer = await fetch(requestOf("/mlops/auth/session", { method: "POST", headers: { Authorization: `Bearer ${entered}` } }));
  if (answer.status === 401) return false;
  if (!answer.ok) throw new TypeError(`The platform answered ${answer.status}.`);
  location.reload();
  return true;
}

/** End the session, and forget all that it saw. */
export async function signOut(): Promise<void> {
  const answer = await fetch(requestOf("/mlops/auth/session", { method: "DELETE" }));
  if (!answer.ok) throw new TypeError(`The platform answered ${answer.status}.`);
  location.reload();
}

/** Address that leads to the identity provider and back to this page. */
export function providerPage(): string {
  return `/mlops/auth/start?to=${encodeURIComponent(location.pathname + location.search)}`;
}

function requestOf(to: Request | string, how: RequestInit): Request {
  const request = new Request(typeof to === "string" ? new URL(to, location.origin) : to, { ...how, credentials: "same-origin" });
  // Without it a 401 would open the browser's own dialog.
  request.headers.set("X-Raylift-Console", "1");
  return request;
}
