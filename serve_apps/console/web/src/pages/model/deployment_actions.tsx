/** Deploy, scale, restart and stop a version. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import type { DeploymentView, VersionView } from "../../api/types";
import { link } from "../../router";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { command, curl, literal, python } from "../../ui/snippets";
import { Differences } from "./traffic_editor";

const ADDRESS = "/mlops/models/{name}/versions/{version}/deployment";
type Action = "deploy" | "scale" | "restart" | "stop";

export function DeploymentActions({ version, onDone }: { version: Pick<VersionView, "model_name" | "model_version" | "deployment">; onDone: () => void }) {
  const [asked, ask] = useState<Action>();
  const { model_name: name, model_version: number, deployment } = version;
  const isStopped = !deployment || deployment.status === "stopped";
  const right = useRight("deploy");
  const shared = { name, number, onClose: () => ask(undefined), onDone };
  return (
    <>
      <a class="button" href={`${link("playground")}?model=${encodeURIComponent(name)}&version=${number}`}>
        Playground
      </a>
      {(isStopped ? (["deploy"] as const) : (["scale", "restart", "stop"] as const)).map((action) => (
        <button key={action} type="button" disabled={!right.isGiven} title={right.why} onClick={() => ask(action)}>
          {TITLES[action]}
        </button>
      ))}
      {asked === "deploy" && (
        <Put {...shared} title={`Deploy ${name} v${number}?`} action="Deploy" body={{}}>
          <p>It gets replicas of its own, and scales to zero when nobody asks it.</p>
        </Put>
      )}
      {asked === "scale" && deployment && <Scale {...shared} deployment={deployment} />}
      {asked === "restart" && <Restart {...shared} />}
      {asked === "stop" && <Stop {...shared} replicas={deployment?.replicas ?? 0} />}
    </>
  );
}

const TITLES: Record<Action, string> = { deploy: "Deploy", scale: "Scale", restart: "Restart", stop: "Stop" };

interface SharedProps {
  name: string;
  number: string;
  onClose: () => void;
  onDone: () => void;
}

interface PutProps extends SharedProps {
  title: string;
  action: string;
  body: Record<string, unknown>;
  /** Options of the command, and arguments in Python. */
  words?: string[];
  options?: string[];
  children: ComponentChildren;
}

function Put({ name, number, title, action, body, words = [], options = [], children, onClose, onDone }: PutProps) {
  const confirm = async () => {
    await dataOf(api.PUT(ADDRESS, { params: { path: { name, version: number } }, body: body as never }));
    onDone();
  };
  return (
    <Confirm title={title} action={action} onClose={onClose} onConfirm={confirm}>
      {children}
      <AsCode
        cli={command("deployments", "set", name, number, ...words)}
        python={python(`client.deployments.put(${[literal(name), literal(number), ...options].join(", ")})`)}
        curl={curl("PUT", pathOf(name, number), body)}
      />
    </Confirm>
  );
}

function Scale({ deployment, ...shared }: SharedProps & { deployment: DeploymentView }) {
  const [least, setLeast] = useState(String(deployment.min_replicas));
  const [most, setMost] = useState(String(deployment.max_replicas));
  const [gpus, setGpus] = useState(String(deployment.gpus ?? 0));
  const others = Number(gpus) !== (deployment.gpus ?? 0);
  const body = { min_replicas: Number(least), max_replicas: Number(most), ...(others && { gpus: Number(gpus) }) };
  return (
    <Put
      {...shared}
      title={`Scale ${shared.name} v${shared.number}`}
      action="Scale"
      body={body}
      words={["--min-replicas", least, "--max-replicas", most, ...(others ? ["--gpus", gpus] : [])]}
      options={[`min_replicas=${body.min_replicas}`, `max_replicas=${body.max_replicas}`, ...(others ? [`gpus=${Number(gpus)}`] : [])]}
    >
      <div class="field-row">
        <label>
          Replicas, at least
          <input type="number" min="0" step="1" required value={least} onInput={(event) => setLeast(event.currentTarget.value)} />
        </label>
        <label>
          at most
          <input type="number" min="1" step="1" required value={most} onInput={(event) => setMost(event.currentTarget.value)} />
        </label>
        <label>
          GPUs a replica
          <input type="number" min="0" step="any" required value={gpus} onInput={(event) => setGpus(event.currentTarget.value)} />
        </label>
      </div>
      <Differences
        lines={[
          { label: "GPUs a replica", before: String(deployment.gpus ?? 0), after: gpus },
          { label: "replicas, at least", before: String(deployment.min_replicas), after: least },
          { label: "replicas, at most", before: String(deployment.max_replicas), after: most },
        ]}
      />
      <p class="muted">{Number(least) === 0 ? "With 0 it scales to zero when nobody asks it." : `${least} replicas stay, also when nobody asks.`}</p>
    </Put>
  );
}

/** A changed variable makes new processes; the old ones answer until those do. */
function Restart(shared: SharedProps) {
  const [at] = useState(() => new Date().toISOString().slice(0, 19));
  return (
    <Put
      {...shared}
      title={`Restart ${shared.name} v${shared.number}?`}
      action="Restart"
      body={{ environment: { RESTARTED_AT: at } }}
      words={["--env", `RESTARTED_AT=${at}`]}
      options={[`environment={"RESTARTED_AT": ${literal(at)}}`]}
    >
      <p>New replicas start and load the model; the old ones answer until then. The variable RESTARTED_AT makes the difference.</p>
    </Put>
  );
}

function Stop({ name, number, replicas, onClose, onDone }: SharedProps & { replicas: number }) {
  const confirm = async () => {
    await dataOf(api.DELETE(ADDRESS, { params: { path: { name, version: number } } }));
    onDone();
  };
  return (
    <Confirm title={`Stop ${name} v${number}?`} action="Stop" isDangerous onClose={onClose} onConfirm={confirm}>
      <p>{replicas} replicas → 0. Requests for this version are answered with an error, until somebody deploys it again.</p>
      <AsCode
        cli={command("deployments", "delete", name, number)}
        python={python(`client.deployments.delete(${literal(name)}, ${literal(number)})`)}
        curl={curl("DELETE", pathOf(name, number))}
      />
    </Confirm>
  );
}

function pathOf(name: string, number: string): string {
  return ADDRESS.replace("{name}", encodeURIComponent(name)).replace("{version}", number);
}
