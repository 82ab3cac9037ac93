/** A run, as a link to MLflow's page of it. */
import { api } from "../api/client";
import { hasKey } from "../access/key";
import { usePoll } from "../api/poll";
import { workspaceQuery } from "./run_workspace";

interface RunLinkProps {
  id: string;
  /** Where the run is; undefined: in the caller's own workspace. */
  workspace?: string;
}

export function RunLink({ id, workspace }: RunLinkProps) {
  const who = usePoll("whoami", (call) => api.GET("/mlops/whoami", call), 0).data;
  const own = who && who.role !== "admin" ? who.workspace : undefined;
  const { data } = usePoll("overview", (call) => api.GET("/mlops/overview", call), 5);
  const short = <code>{id.slice(0, 12)}</code>;
  if (!data?.mlflow_pages) return short;
  return (
    <a href={`${data.mlflow_pages}/#/runs/${encodeURIComponent(id)}${hasKey() ? workspaceQuery(workspace ?? own) : ""}`} target="_blank" rel="noopener">
      {short}
    </a>
  );
}
