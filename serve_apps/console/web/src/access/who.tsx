/** Who the key says that one is. Shows nothing on a platform that asks for no key. */
import { api } from "../api/client";
import { usePoll } from "../api/poll";
import { hasKey, signOut } from "./key";

export function Who() {
  const { data } = usePoll("whoami", (call) => api.GET("/mlops/whoami", call), 0);
  if (!hasKey()) return null;
  return (
    <div class="who">
      {data && (
        <p aria-label="Signed in as">
          <b>{data.name}</b>
          <span class="muted">
            {data.role} · {data.workspace}
          </span>
        </p>
      )}
      <button type="button" class="quiet" onClick={signOut}>
        Sign out
      </button>
    </div>
  );
}
