/** A run, as a link to MLflow's page of it. */
import { api } from "../api/client";
import { usePoll } from "../api/poll";

export function RunLink({ id }: { id: string }) {
  const { data } = usePoll("overview", (call) => api.GET("/mlops/overview", call), 5);
  const short = <code>{id.slice(0, 12)}</code>;
  if (!data?.mlflow_pages) return short;
  return (
    <a href={`${data.mlflow_pages}/#/runs/${encodeURIComponent(id)}`} target="_blank" rel="noopener">
      {short}
    </a>
  );
}
