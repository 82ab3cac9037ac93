/** Keys: who may do what. Made, shown once, and revoked here. */
import { useState } from "preact/hooks";
import { api, dataOf, messageOf } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { KeyView, NewKeyView } from "../../api/types";
import { now } from "../../ui/clock";
import { AsCode } from "../../ui/as_code";
import { Confirm, Dialog } from "../../ui/dialog";
import { Ago, Empty, Failure, Loading, PageHead } from "../../ui/parts";
import { ShownOnce } from "../../ui/shown_once";
import { command, curl, literal, python } from "../../ui/snippets";
import { State } from "../../ui/state";
import { stateOf } from "./key_state";

const ROLES = ["viewer", "submitter", "deployer", "admin"] as const;
const MEANS: Record<string, string> = {
  viewer: "reads, and asks models",
  submitter: "also uploads and cancels jobs",
  deployer: "also deploys, moves traffic, uses Ray",
  admin: "everything, in all workspaces",
};

export function AccessPage() {
  const { data, error, refresh } = usePoll("keys", (call) => api.GET("/mlops/keys", call), 10);
  const who = usePoll("whoami", (call) => api.GET("/mlops/whoami", call), 0);
  const [isAsked, ask] = useState(false);
  const [revoked, setRevoked] = useState<KeyView>();
  const isLocal = who.data?.auth === "local";
  return (
    <>
      <PageHead
        title="Access"
        actions={
          <button type="button" class="primary" onClick={() => ask(true)}>
            New key
          </button>
        }
      />
      {isLocal && <p class="reason">This platform asks for no keys (<code>auth: local</code>): everybody who reaches it may do everything. Keys work after <code>raylift up --auth keys</code>.</p>}
      {error && <Failure error={error} what="list of keys" />}
      {!data && !error && <Loading />}
      {data && !data.keys.length && (
        <Empty title="No keys">
          <p>A key names a user or a program, its role and its workspace.</p>
        </Empty>
      )}
      {data && data.keys.length > 0 && <Keys keys={data.keys} onRevoke={setRevoked} />}
      {isAsked && <NewKey onClose={() => ask(false)} onDone={refresh} />}
      {revoked && <Revoke item={revoked} onClose={() => setRevoked(undefined)} onDone={refresh} />}
    </>
  );
}

const WORD = { ready: "valid", cancelled: "revoked", stopped: "expired" };

function Keys({ keys, onRevoke }: { keys: KeyView[]; onRevoke: (key: KeyView) => void }) {
  return (
    <div class="table-box">
      <table>
        <thead>
          <tr>
            <th class="col-state">State</th>
            <th>Name</th>
            <th>Role</th>
            <th>Workspace</th>
            <th>Limited to</th>
            <th>Key</th>
            <th class="right">Created</th>
            <th class="right">Last used</th>
            <th class="right">Expires</th>
            <th>
              <span class="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {keys.map((item) => {
            const state = stateOf(item, now.value);
            return (
              <tr key={item.key_id}>
                <td class="col-state">
                  <State state={state} word={WORD[state]} />
                </td>
                <td>
                  <b>{item.name}</b>
                </td>
                <td title={MEANS[item.role]}>{item.role}</td>
                <td>{item.workspace}</td>
                <td>{item.models.join(", ") || <span class="muted">all models</span>}</td>
                <td>
                  <code>rl_{item.key_id}_…</code>
                </td>
                <td class="right number nowrap" title={`by ${item.created_by}`}>
                  <Ago at={item.created_at} />
                </td>
                <td class="right number nowrap">
                  <Ago at={item.last_used_at} />
                </td>
                <td class="right number nowrap">{item.expires_at ? item.expires_at.slice(0, 10) : <span class="muted">never</span>}</td>
                <td class="right">
                  {state === "ready" && (
                    <button type="button" class="quiet" onClick={() => onRevoke(item)}>
                      Revoke
                    </button>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

function Revoke({ item, onClose, onDone }: { item: KeyView; onClose: () => void; onDone: () => void }) {
  const path = { key_id: item.key_id };
  const revoke = async () => {
    await dataOf(api.DELETE("/mlops/keys/{key_id}", { params: { path } }));
    onDone();
  };
  return (
    <Confirm title={`Revoke the key of ${item.name}?`} action="Revoke" isDangerous onConfirm={revoke} onClose={onClose}>
      <p>It stops within five seconds, everywhere, and cannot be made valid again.</p>
      <AsCode
        cli={command("keys", "revoke", item.key_id)}
        python={python(`client.keys.revoke(${literal(item.key_id)})`)}
        curl={curl("DELETE", `/mlops/keys/${item.key_id}`)}
      />
    </Confirm>
  );
}

function NewKey({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [draft, setDraft] = useState({ name: "", role: "viewer", workspace: "default", days: "90" });
  const [made, setMade] = useState<NewKeyView>();
  const [error, setError] = useState("");
  const [isSending, setSending] = useState(false);
  const change = (values: Partial<typeof draft>) => setDraft({ ...draft, ...values });
  const body = {
    name: draft.name,
    role: draft.role,
    ...(draft.workspace !== "default" && { workspace: draft.workspace }),
    ...(draft.days && { expires_days: Number(draft.days) }),
  };
  const submit = async (event: Event) => {
    event.preventDefault();
    if (isSending) return;
    setSending(true);
    setError("");
    try {
      setMade(await dataOf(api.POST("/mlops/keys", { body: body as never })));
      onDone();
    } catch (failure) {
      setError(messageOf(failure));
      setSending(false);
    }
  };
  if (made) {
    const about = "This is its only copy: it is shown once.";
    return <ShownOnce title={`The key of ${made.name}`} about={about} value={made.key} label="the key" onClose={onClose} />;
  }
  return (
    <Dialog title="New key" onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <div class="field">
          <label for="key-name">Name of the user or program</label>
          <input id="key-name" required autofocus value={draft.name} onInput={(event) => change({ name: event.currentTarget.value })} />
        </div>
        <fieldset class="roles">
          <legend>Role</legend>
          {ROLES.map((role) => (
            <label key={role}>
              <input type="radio" name="role" checked={draft.role === role} onChange={() => change({ role })} /> <b>{role}</b>{" "}
              <span class="muted">{MEANS[role]}</span>
            </label>
          ))}
        </fieldset>
        <div class="field-row">
          <label>
            Workspace
            <input value={draft.workspace} onInput={(event) => change({ workspace: event.currentTarget.value })} />
          </label>
          <label>
            Valid for days; empty: for ever
            <input inputMode="decimal" value={draft.days} onInput={(event) => change({ days: event.currentTarget.value })} />
          </label>
        </div>
        {error && (
          <p class="field-error" role="alert">
            {error}
          </p>
        )}
        <AsCode
          cli={command("keys", "create", draft.name, "--role", draft.role, "--workspace", draft.workspace, ...(draft.days ? ["--expires-days", draft.days] : []))}
          python={python(
            `print(client.keys.create(${literal(draft.name)}, role=${literal(draft.role)}, workspace=${literal(draft.workspace)}${draft.days ? `, expires_days=${draft.days}` : ""}).key)`,
          )}
          curl={curl("POST", "/mlops/keys", body)}
        />
        <div class="dialog-actions">
          <button type="button" onClick={onClose}>
            Back
          </button>
          <button type="submit" class="primary" aria-disabled={isSending}>
            Make the key
          </button>
        </div>
      </form>
    </Dialog>
  );
}
