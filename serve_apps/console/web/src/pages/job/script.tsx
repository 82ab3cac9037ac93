/** The script as it was sent, with line numbers. */
import { useEffect, useState } from "preact/hooks";
import { send } from "../../access/key";
import { api, messageOf } from "../../api/client";
import type { JobView } from "../../api/types";
import { Code } from "../../ui/code";
import { Copy, Loading } from "../../ui/parts";
import { Reports } from "../../ui/reports";

export function ScriptTab({ job }: { job: JobView }) {
  const [text, setText] = useState<string>();
  const [error, setError] = useState<string>();
  const address = `/mlops/training/jobs/${encodeURIComponent(job.job_id)}`;
  useEffect(() => {
    send(`${address}/script`)
      .then(async (answer) => {
        if (!answer.ok) throw new Error(`The platform answered ${answer.status}.`);
        setText(await answer.text());
      })
      .catch((failure: unknown) => setError(messageOf(failure)));
  }, [address]);
  if (error) return <p class="field-error">{error}</p>;
  if (text === undefined) return <Loading />;
  return (
    <section aria-label="Script">
      <div class="bar">
        <code>{job.entrypoint ?? job.script_name}</code>
        <span class="muted">
          SHA-256 <code>{job.script_sha256.slice(0, 12)}</code>
        </span>
        {job.args.length > 0 && (
          <span class="muted">
            arguments <code>{job.args.join(" ")}</code>
          </span>
        )}
        <span class="spread" />
        {job.project_sha256 && (
          <a class="button quiet" href={`${address}/project`} download={`${job.project_sha256.slice(0, 12)}.tar.gz`}>
            Download the project
          </a>
        )}
        <Copy text={text} label="the script" />
      </div>
      <Code text={text} isPython={!job.command} />
      <Reports read={() => api.GET("/mlops/training/jobs/{job_id}/reports", { params: { path: { job_id: job.job_id } } })} />
    </section>
  );
}
