import type { KeyView } from "../../api/types";

/** State of a key in the words of `State`. */
export function stateOf(item: KeyView, at: number): "ready" | "cancelled" | "stopped" {
  if (item.revoked_at) return "cancelled";
  return item.expires_at && Date.parse(item.expires_at) <= at ? "stopped" : "ready";
}
