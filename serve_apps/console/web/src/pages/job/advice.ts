/** What to do about a reason, in one sentence. */
import type { JobView } from "../../api/types";
import { bytes, duration } from "../../ui/format";

export function adviceFor(job: JobView): string | undefined {
  switch (job.reason) {
    case "out_of_memory":
      return `It may use ${bytes(job.resources.memory)}. Run it again with more memory, or let it load less at once.`;
    case "timeout":
      return `It may run ${duration(job.timeout_seconds)}. Send it again with a longer timeout, or let it do less.`;
    case "script_error":
      return "The end of the log has the error. Mend the script and send it again.";
    case "environment_error":
      return "A requirement cannot be installed: the message has the installer's words.";
    case "node_lost":
      return "The machine that ran it is gone. Run it again.";
    case "node_not_prepared":
      return "A machine lacks what jobs need: the message names it. Mend or remove it, then run the job again.";
    case "no_model_logged":
      return "Log a model in the script, e.g. mlflow.sklearn.log_model(model), or send it without a model's name.";
    case "registration_error":
      return "The script succeeded. Run it again when MLflow answers.";
    case "process_limit":
      return "The script started too many processes: lower its number of workers.";
    case "disk_limit":
      return "The script wrote too much to its disk: write less, or remove what it no longer needs.";
    case "waiting_for_capacity":
      return job.message ? undefined : "It starts by itself when other jobs end.";
    case "waiting_for_quota":
      return "It starts by itself when other jobs of this owner end.";
    case "waiting_for_node":
      return "It starts by itself when a machine that can hold it is free.";
    default:
      return undefined;
  }
}
