/** Go to a page, a job or a model by a part of its name. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { api } from "../api/client";
import { link, navigate } from "../router";
import { Dialog } from "../ui/dialog";
import { shortId } from "../ui/format";
import { GO } from "./pages";

export const isPaletteOpen = signal(false);

interface Target {
  kind: string;
  label: string;
  note: string;
  to: string;
}

const PAUSE_MS = 150;
const MOST = 8;

export function Palette() {
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const [found, setFound] = useState<Target[]>([]);
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(() => void search(text, stop.signal).then(setFound, () => {}), PAUSE_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text]);
  const targets = [...pages(text), ...found];
  const close = () => (isPaletteOpen.value = false);
  const open = (target: Target | undefined) => {
    if (!target) return;
    close();
    navigate(target.to);
  };
  const onKeyDown = (event: JSX.TargetedKeyboardEvent<HTMLInputElement>) => {
    const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (by) {
      event.preventDefault();
      setChosen((chosen + by + targets.length) % Math.max(targets.length, 1));
    } else if (event.key === "Enter") {
      event.preventDefault();
      open(targets[chosen]);
    }
  };
  return (
    <Dialog title="Go to" onClose={close}>
      <input
        autofocus
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls="targets"
        aria-activedescendant={targets[chosen] ? `target-${chosen}` : undefined}
        aria-label="Page, job or model"
        placeholder="Page, job or model"
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setChosen(0);
        }}
        onKeyDown={onKeyDown}
      />
      <ul id="targets" class="targets" role="listbox" aria-label="Results">
        {targets.map((target, index) => (
          <li
            key={target.to}
            id={`target-${index}`}
            role="option"
            aria-selected={index === chosen}
            onClick={() => open(target)}
            onMouseMove={() => setChosen(index)}
          >
            <span class="muted">{target.kind}</span>
            <span>{target.label}</span>
            <span class="muted">{target.note}</span>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

function pages(text: string): Target[] {
  const all: [string, string][] = [...Object.values(GO), ["new", "New job"]];
  const wanted = text.toLowerCase();
  return all
    .filter(([, label]) => label.toLowerCase().includes(wanted))
    .map(([name, label]) => ({ kind: "page", label, note: "", to: link(name) }));
}

async function search(text: string, signal: AbortSignal): Promise<Target[]> {
  if (!text) return [];
  const jobs = await api.GET("/mlops/training/jobs", { params: { query: { q: text, limit: MOST } }, signal });
  const models = await api.GET("/mlops/models", { signal });
  const wanted = text.toLowerCase();
  return [
    ...(models.data?.models ?? [])
      .filter((model) => model.model_name.toLowerCase().includes(wanted))
      .slice(0, MOST)
      .map((model) => ({ kind: "model", label: model.model_name, note: "", to: link("models", model.model_name) })),
    ...(jobs.data?.jobs ?? []).map((job) => ({
      kind: "job",
      label: job.model_name ?? job.experiment_name,
      note: `${job.status} · ${shortId(job.job_id)}`,
      to: link("jobs", job.job_id),
    })),
  ];
}
