/** Environments: what is built, who uses it, how large it is; prewarm and delete. */
import { useState } from "preact/hooks";
import { useRight } from "../access/may";
import { ApiError, api, dataOf, messageOf } from "../api/client";
import { usePoll } from "../api/poll";
import type { EnvironmentView } from "../api/types";
import { link, query, setQuery, withQuery } from "../router";
import { AsCode } from "../ui/as_code";
import { Confirm, Dialog } from "../ui/dialog";
import { bytes, plural } from "../ui/format";
import { Gauge } from "../ui/gauge";
import { Ago, Empty, Facts, Failure, Loading, PageHead } from "../ui/parts";
import { command, curl, literal, python } from "../ui/snippets";
import { State } from "../ui/state";

export function EnvironmentsPage() {
  const { data, error, refresh } = usePoll("environments", (call) => api.GET("/mlops/environments", call), 3);
  const [isAsked, ask] = useState(false);
  const right = useRight("submit");
  const chosen = query.value.get("hash");
  return (
    <>
      <PageHead
        title="Environments"
        actions={
          <button type="button" disabled={!right.isGiven} title={right.why} onClick={() => ask(true)}>
            Prewarm
          </button>
        }
      />
      {error && <Failure error={error} what="list of environments" />}
      {!data && !error && <Loading />}
      {data && (
        <div class="gauges">
          <Gauge label="Disk" used={data.size} total={data.max_size}>
            {bytes(data.size)} of {bytes(data.max_size)}; beyond it a build removes the least recently used
          </Gauge>
        </div>
      )}
      {data && !data.environments.length && (
        <Empty title="No environment yet">
          <p>An environment holds the packages that a job needs beyond the platform's own. It is built once, and used again for serving.</p>
        </Empty>
      )}
      {data && data.environments.length > 0 && <Table items={data.environments} />}
      {isAsked && <Prewarm onClose={() => ask(false)} onDone={refresh} />}
      {chosen && <Chosen key={chosen} hash={chosen} onDone={refresh} />}
    </>
  );
}

export function stateOf(item: EnvironmentView): string {
  if (item.message) return "failed";
  if (!item.built) return item.progress ? "running" : "queued";
  return item.in_use ? "ready" : "stopped";
}

const WORD: Record<string, string> = { failed: "broken", running: "building", queued: "not built", ready: "in use", stopped: "idle" };

function Table({ items }: { items: EnvironmentView[] }) {
  return (
    <div class="table-box">
      <table>
        <thead>
          <tr>
            <th class="col-state">State</th>
            <th>Environment</th>
            <th>Packages</th>
            <th class="right">Size</th>
            <th class="right">Deleting frees</th>
            <th class="right">Last used</th>
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <tr key={item.hash}>
              <td class="col-state">
                <State state={stateOf(item)} word={WORD[stateOf(item)]} />
              </td>
              <td>
                <a href={withQuery({ hash: item.hash })} data-row>
                  <code>{item.hash?.slice(0, 12)}</code>
                </a>
              </td>
              <td>
                <span class="why">
                  <span class="muted number">{item.lock.length}</span> {item.message ?? item.lock.join(", ")}
                </span>
              </td>
              <td class="right number nowrap">{bytes(item.size)}</td>
              <td class="right number nowrap">{bytes(item.own_size ?? null)}</td>
              <td class="right number nowrap">
                <Ago at={item.last_used_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Chosen({ hash, onDone }: { hash: string; onDone: () => void }) {
  const path = { name: hash };
  const { data, error } = usePoll(`environment ${hash}`, (call) => api.GET("/mlops/environments/{name}", { ...call, params: { path } }), 2);
  const [isAsked, ask] = useState(false);
  const right = useRight("deploy");
  // Not Back: a pasted link has no page before it.
  const close = () => setQuery({ hash: null });
  if (isAsked) {
    const remove = async () => {
      await dataOf(api.DELETE("/mlops/environments/{name}", { params: { path } }));
      onDone();
      close();
    };
    return (
      <Confirm title="Delete this environment?" action="Delete" isDangerous onConfirm={remove} onClose={() => ask(false)}>
        <p>{data && bytes(data.own_size ?? data.size)} become free. The next job that needs it builds it again.</p>
        <AsCode
          cli={command("env", "rm", hash)}
          python={python(`client.environments.delete(${literal(hash)})`)}
          curl={curl("DELETE", `/mlops/environments/${hash}`)}
        />
      </Confirm>
    );
  }
  return (
    <Dialog title={`Environment ${hash.slice(0, 12)}`} onClose={close} wide>
      {error && <p class="field-error">{error.message}</p>}
      {data && (
        <>
          {data.message && (
            <div class="reason reason-failed" role="region" aria-label="Why the build failed">
              <p class="reason-message">{data.message}</p>
            </div>
          )}
          {data.note && <p class="reason">{data.note}</p>}
          {data.progress && data.progress.size > 0 && (
            <p class="number">
              <progress value={data.progress.downloaded} max={data.progress.size} aria-label="Downloads" /> {bytes(data.progress.downloaded)} of{" "}
              {bytes(data.progress.size)} downloaded
            </p>
          )}
          <Facts
            items={[
              ["State", <State state={stateOf(data)} word={WORD[stateOf(data)]} />],
              ["Size", `${bytes(data.size)}, ${bytes(data.own_size ?? null)} of its own`],
              ["Built", <Ago at={data.created_at} />],
              ["Last used", <Ago at={data.last_used_at} />],
            ]}
          />
          <h2>Used by</h2>
          {!data.used_by.length && <p class="muted">{data.in_use ? "A build, or a worker that starts." : "Nothing now."}</p>}
          <ul class="plain">
            {data.used_by.map((user) => (
              <li key={user}>{user.startsWith("job_") ? <a href={link("jobs", user)}>{user}</a> : user}</li>
            ))}
          </ul>
          <h2>{plural(data.lock.length, "package")}</h2>
          <pre class="lock" tabIndex={0}>
            {data.lock.join("\n")}
          </pre>
        </>
      )}
      <div class="dialog-actions">
        <button type="button" class="danger" disabled={!right.isGiven || data?.in_use} title={right.why ?? (data?.in_use ? "It is in use." : undefined)} onClick={() => ask(true)}>
          Delete
        </button>
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

function Prewarm({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [text, setText] = useState("");
  const [error, setError] = useState("");
  const [isSending, setSending] = useState(false);
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (isSending) return;
    setSending(true);
    try {
      await dataOf(api.POST("/mlops/environments", { body: { requirements: lines } as never }));
      onDone();
      onClose();
    } catch (failure) {
      setError(failure instanceof ApiError ? (failure.problem.errors?.[0]?.detail ?? failure.message) : messageOf(failure));
      setSending(false);
    }
  };
  return (
    <Dialog title="Build an environment now" onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <p class="muted">The requirements are resolved and built before a job needs them.</p>
        <div class={error ? "field wrong" : "field"}>
          <label for="prewarm">Requirements, one a line</label>
          <textarea id="prewarm" rows={5} placeholder="lightgbm>=4" value={text} onInput={(event) => setText(event.currentTarget.value)} />
          {error && (
            <p class="field-error" role="alert">
              {error}
            </p>
          )}
        </div>
        <AsCode
          cli={command("env", "prewarm", ...lines.flatMap((line) => ["--requirements", line]))}
          python={python(`client.environments.prewarm(${literal(lines)})`)}
          curl={curl("POST", "/mlops/environments", { requirements: lines })}
        />
        <div class="dialog-actions">
          <button type="button" onClick={onClose}>
            Back
          </button>
          <button type="submit" class="primary" aria-disabled={isSending || !lines.length}>
            {isSending ? "Resolving…" : "Build"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
