/** The nodes: what is held of each, its state, draining, and how another machine joins. */
import { useState } from "preact/hooks";
import { hasKey } from "../../access/key";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { NodeStateView, NodeView, ReservationView } from "../../api/types";
import { link } from "../../router";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { bytes, plural, quantity, shortId, words } from "../../ui/format";
import { Gauge } from "../../ui/gauge";
import { Copy } from "../../ui/parts";
import { command, curl, literal, origin, python } from "../../ui/snippets";
import { State } from "../../ui/state";

/** What a state means for jobs, where they cannot start. */
const MEANS: Record<string, string> = {
  draining: "It takes no new work, and leaves when its jobs have ended and its replicas have moved.",
  not_prepared: "It did not join by raylift join, so it takes no work.",
};

export function Nodes({ nodes, reservation }: { nodes: NodeView[]; reservation: ReservationView | null }) {
  const { data, refresh } = usePoll("nodes", (call) => api.GET("/mlops/nodes", call), 5);
  const [drained, drain] = useState<NodeStateView>();
  const states = new Map(data?.nodes.map((node) => [node.node_id, node]));
  const known = new Set(nodes.map((node) => node.node_id));
  const others = data?.nodes.filter((node) => !known.has(node.node_id)) ?? [];
  return (
    <>
      {!nodes.length && !others.length && <p class="reason reason-failed">Ray lists no node now. Jobs wait, and start when it does.</p>}
      <ul class="nodes" aria-label="Nodes">
        {nodes.map((node) => (
          <li key={node.node_id}>
            <Head name={node.name} isHead={node.is_head} state={states.get(node.node_id)} onDrain={drain} />
            <Held node={node} />
            {reservation?.node_id === node.node_id && <SetAside reservation={reservation} />}
          </li>
        ))}
        {others.map((node) => (
          <li key={node.node_id}>
            <Head name={node.name} isHead={node.is_head} state={node} onDrain={drain} />
            <p class="muted">{plural(node.jobs, "job")}</p>
          </li>
        ))}
      </ul>
      {data && <Join acceptsNodes={data.accepts_nodes} />}
      {drained && <Drain node={drained} onDone={refresh} onClose={() => drain(undefined)} />}
    </>
  );
}

interface HeadProps {
  name: string;
  isHead: boolean;
  state: NodeStateView | undefined;
  onDrain: (node: NodeStateView) => void;
}

function Head({ name, isHead, state, onDrain }: HeadProps) {
  const right = useRight("administer");
  return (
    <>
      <div class="node-head">
        <h2>
          {name} {isHead && <span class="tag">head</span>}
        </h2>
        {state && <State state={state.state} word={words(state.state)} />}
        <span class="spread" />
        {state?.state === "ready" && !isHead && (
          <button type="button" class="quiet" disabled={!right.isGiven} title={right.why} onClick={() => onDrain(state)}>
            Drain
          </button>
        )}
      </div>
      {state && MEANS[state.state] && <p class="set-aside">{MEANS[state.state]}</p>}
    </>
  );
}

function Held({ node }: { node: NodeView }) {
  return (
    <>
      <Gauge label="CPUs" used={node.held.cpus ?? 0} total={node.cpus ?? 0}>
        {quantity(node.held.cpus)} of {quantity(node.cpus)} held
      </Gauge>
      <Gauge label="Memory" used={node.held.memory} total={node.memory}>
        {bytes(node.held.memory)} of {bytes(node.memory)} held
      </Gauge>
      {(node.gpus ?? 0) > 0 && (
        <Gauge label="GPUs" used={node.held.gpus ?? 0} total={node.gpus ?? 0}>
          {quantity(node.held.gpus)} of {quantity(node.gpus)} held
        </Gauge>
      )}
      <p class="muted">
        {plural(node.held.jobs, "job")}
        {(node.reserved_cpus ?? 0) > 0 && ` · ${plural(node.reserved_cpus, "more CPU")} reserved for serving`}
      </p>
    </>
  );
}

/** Why nothing starts on a node that has room. */
function SetAside({ reservation }: { reservation: ReservationView }) {
  return (
    <p class="set-aside">
      Set aside for{" "}
      {reservation.job_id ? (
        <a href={link("jobs", reservation.job_id)}>
          {reservation.model_name ?? "job"} {shortId(reservation.job_id)}
        </a>
      ) : (
        "a job of another workspace"
      )}
      : no other job starts here until it fits.
    </p>
  );
}

function Drain({ node, onDone, onClose }: { node: NodeStateView; onDone: () => void; onClose: () => void }) {
  const drain = async () => {
    await dataOf(api.POST("/mlops/nodes/{node}/drain", { params: { path: { node: node.node_id } } }));
    onDone();
  };
  return (
    <Confirm title={`Drain ${node.name}?`} action="Drain" isDangerous onConfirm={drain} onClose={onClose}>
      <p>
        No new work starts there. Its {plural(node.jobs, "running job")} {node.jobs === 1 ? "runs" : "run"} to the end, its replicas move to other nodes, then it leaves. That
        cannot be taken back: afterwards the machine joins again.
      </p>
      <AsCode
        cli={command("drain", node.name)}
        python={python(`client.request("POST", ${literal(`/mlops/nodes/${node.name}/drain`)})`)}
        curl={curl("POST", `/mlops/nodes/${node.name}/drain`)}
      />
    </Confirm>
  );
}

/** How another machine joins, or what the platform needs first. */
function Join({ acceptsNodes }: { acceptsNodes: boolean }) {
  const code = acceptsNodes
    ? ["pip install -r base.txt   # on the head: pip freeze > base.txt", "export RAYLIFT_JOIN_TOKEN=rlj_…   # the file join-token in the head's state directory", `raylift join ${origin()}`].join("\n")
    : "raylift up --host 10.0.0.5 --accept-nodes --auth keys";
  return (
    <details class="preview">
      <summary>Let another machine join</summary>
      {acceptsNodes ? (
        <p>On that machine, with the same Python, in the head's private network:</p>
      ) : (
        <p>
          This platform was started for one machine. Start it again with the address at which the others reach it, in a private network of their own{hasKey() || ", and with keys"}:
        </p>
      )}
      <div class="join">
        <pre class="lines" tabIndex={0} aria-label="Commands">
          <code>{code}</code>
        </pre>
        <Copy text={code} label="the commands" />
      </div>
    </details>
  );
}
