/** What the caller may do. While that is unknown everything is offered: the platform decides, and refuses in words. */
import { api } from "../api/client";
import { usePoll } from "../api/poll";

export type Action = "read" | "submit" | "deploy" | "administer";

const NEEDS: Record<Action, string> = { read: "viewer", submit: "submitter", deploy: "deployer", administer: "admin" };

export interface Right {
  isGiven: boolean;
  /** For the title of what is disabled. */
  why: string | undefined;
}

export function useRight(action: Action): Right {
  const { data } = usePoll("whoami", (call) => api.GET("/mlops/whoami", call), 0);
  const isGiven = !data || data.actions.includes(action);
  return { isGiven, why: isGiven ? undefined : `This needs the role ${NEEDS[action]}; you have ${data?.role}.` };
}
