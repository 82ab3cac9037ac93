/** MLflow's pages in a workspace: `#/runs/ID?workspace=NAME`. Pure. */

const MLFLOWS = /^[a-z0-9][-a-z0-9]{0,61}[a-z0-9]$/;

/** The query that opens MLflow's pages in a workspace; "" where that has another name in MLflow, or is not known. */
export function workspaceQuery(workspace: string | undefined): string {
  return workspace && MLFLOWS.test(workspace) ? `?workspace=${workspace}` : "";
}
