/** The key of a platform that asks for one: kept for this tab alone, and sent as a header. Nothing is sent by itself, as a cookie would be. */
import { signal } from "@preact/signals";

const STORED = "raylift.key";

let key = globalThis.sessionStorage?.getItem(STORED) ?? null;

/** What the platform said about the key: nothing yet, that it needs one, or that this one is not valid any more. */
export const keyIs = signal<"accepted" | "needed" | "refused">("accepted");

export function hasKey(): boolean {
  return key !== null;
}

/** Call the platform, with the key if there is one. `to` is a request, or a path. */
export async function send(to: Request | string, how: RequestInit = {}): Promise<Response> {
  const used = key;
  const answer = await fetch(requestWith(used, to, how));
  // A later key may have been accepted meanwhile.
  if (answer.status === 401 && used === key) keyIs.value = used === null ? "needed" : "refused";
  return answer;
}

/** Return whether the platform takes this key. It is kept then, and the page begins anew: what another key saw is gone. */
export async function signIn(entered: string): Promise<boolean> {
  const answer = await fetch(requestWith(entered, "/mlops/whoami", {}));
  if (answer.status === 401) return false;
  if (!answer.ok) throw new TypeError(`The platform answered ${answer.status}.`);
  sessionStorage.setItem(STORED, entered);
  location.reload();
  return true;
}

/** Forget the key and all that it saw. */
export function signOut(): void {
  key = null;
  sessionStorage.removeItem(STORED);
  location.reload();
}

function requestWith(used: string | null, to: Request | string, how: RequestInit): Request {
  // Without credentials a 401 does not open the browser's own dialog, and no password that it remembers goes along.
  const request = new Request(typeof to === "string" ? new URL(to, location.origin) : to, { ...how, credentials: "omit" });
  if (used !== null) request.headers.set("Authorization", `Bearer ${used}`);
  return request;
}
