/** Who the session says that one is. Shows nothing on a platform that asks for no key. */
import { useEffect, useState } from "preact/hooks";
import { api, messageOf } from "../api/client";
import { usePoll } from "../api/poll";
import { asksForKeys, signOut } from "./key";

export function Who() {
  const { data } = usePoll("whoami", (call) => api.GET("/mlops/whoami", call), 0);
  const [error, setError] = useState("");
  useEffect(() => {
    if (data) asksForKeys.value = data.auth === "keys";
  }, [data]);
  if (data?.auth !== "keys") return null;
  return (
    <div class="who">
      <p aria-label="Signed in as">
        <b>{data.name}</b>
        <span class="muted">
          {data.role} · {data.workspace}
        </span>
      </p>
      {error && (
        <p class="field-error" role="alert">
          {error}
        </p>
      )}
      <button type="button" class="quiet" onClick={() => void signOut().catch((failure) => setError(messageOf(failure)))}>
        Sign out
      </button>
    </div>
  );
}
