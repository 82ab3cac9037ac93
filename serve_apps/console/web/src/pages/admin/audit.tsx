/** The audit: who did what, when, from where, with which outcome. */
import { useEffect, useState } from "preact/hooks";
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { AuditEntry } from "../../api/types";
import { link, query, setQuery, withQuery } from "../../router";
import { moment, shortId, words } from "../../ui/format";
import { Empty, Failure, Loading, PageHead, Pages } from "../../ui/parts";
import { State } from "../../ui/state";

const OUTCOMES = ["done", "unchanged", "refused", "failed"];
const SUBJECTS = ["job.", "sweep.", "deployment.", "traffic.", "alias.", "key.", "secret.", "environment."];
const LOOK: Record<string, string> = { done: "completed", unchanged: "stopped", refused: "unhealthy", failed: "failed" };

export function AuditPage() {
  const values = query.value;
  const filter = {
    ...pick("who"),
    ...pick("action"),
    ...pick("target"),
    ...pick("outcome"),
  };
  const cursor = values.get("after") ?? "";
  const { data, error } = usePoll(`audit ${JSON.stringify(filter)} ${cursor}`, (call) =>
    api.GET("/mlops/audit", { ...call, params: { query: { ...filter, ...(cursor && { cursor }), limit: 100 } as never } }),
    5,
  );
  const isFiltered = Object.keys(filter).length > 0;
  return (
    <>
      <PageHead title="Audit" />
      <div class="filters">
        <Text name="who" label="Caller" />
        <Text name="target" label="Job, model, key…" />
        <Choice name="action" label="Subject" options={SUBJECTS} word={(option) => option.slice(0, -1)} />
        <Choice name="outcome" label="Outcome" options={OUTCOMES} word={words} />
        {isFiltered && <a href={link("audit")}>Show all</a>}
      </div>
      {error && <Failure error={error} what="audit" />}
      {!data && !error && <Loading />}
      {data && !data.entries.length && <Empty title={isFiltered ? "No entry matches" : "No entries yet"} />}
      {data && data.entries.length > 0 && <Entries entries={data.entries} />}
      {data && <Pages cursor={cursor} next={data.next_cursor} older="Older entries" />}
    </>
  );

  function pick(name: string): Record<string, string> {
    const value = values.get(name);
    return value ? { [name]: value } : {};
  }
}

function Text({ name, label }: { name: string; label: string }) {
  const given = query.value.get(name) ?? "";
  const [typed, setTyped] = useState(given);
  useEffect(() => setTyped(given), [given]);
  useEffect(() => {
    if (typed === given) return;
    const timer = setTimeout(() => setQuery({ [name]: typed, after: null }), 300);
    return () => clearTimeout(timer);
  }, [typed]);
  return <input type="search" class="short" data-find={name === "who"} placeholder={label} aria-label={label} value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />;
}

interface ChoiceProps {
  name: string;
  label: string;
  options: string[];
  word: (option: string) => string;
}

function Choice({ name, label, options, word }: ChoiceProps) {
  return (
    <label class="inline">
      {label}
      <select value={query.value.get(name) ?? ""} onChange={(event) => setQuery({ [name]: event.currentTarget.value, after: null })}>
        <option value="">all</option>
        {options.map((option) => (
          <option key={option} value={option}>
            {word(option)}
          </option>
        ))}
      </select>
    </label>
  );
}

function Entries({ entries }: { entries: AuditEntry[] }) {
  return (
    <div class="table-box">
      <table>
        <thead>
          <tr>
            <th>Time</th>
            <th class="col-state">Outcome</th>
            <th>Who</th>
            <th>Action</th>
            <th>On</th>
            <th>Why</th>
            <th>Workspace</th>
            <th>From</th>
          </tr>
        </thead>
        <tbody>
          {entries.map((entry) => (
            <tr key={entry.entry_id}>
              <td class="number nowrap">{moment(entry.at)}</td>
              <td class="col-state">
                <State state={LOOK[entry.outcome] ?? "stopped"} word={words(entry.outcome)} />
              </td>
              <td class="nowrap">
                {entry.who ? (
                  <a href={withQuery({ who: entry.who, after: null })} data-row>
                    {entry.who}
                  </a>
                ) : (
                  <span class="muted">unknown</span>
                )}
              </td>
              <td class="nowrap">{entry.action}</td>
              <td class="target">
                <Target entry={entry} />
              </td>
              <td>{entry.detail ? words(entry.detail) : <span class="muted">—</span>}</td>
              <td>{entry.workspace ?? "—"}</td>
              <td class="number nowrap">{entry.address ?? "—"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** What was acted on, as a link where it has a page. */
function Target({ entry }: { entry: AuditEntry }) {
  const { target } = entry;
  if (!target) return <>—</>;
  const page = pageOf(entry.action, target);
  const text = target.startsWith("job_") ? `job ${shortId(target)}` : target;
  return page ? (
    <a href={page} title={target}>
      {text}
    </a>
  ) : (
    <>{text}</>
  );
}

function pageOf(action: string, target: string): string | undefined {
  const [kind = ""] = action.split(".");
  if (target.startsWith("job_")) return link("jobs", target);
  if (action.endsWith(".delete") && kind !== "traffic") return undefined;
  if (kind === "schedule" || kind === "webhook") return link(`${kind}s`, target);
  if (kind === "traffic") return link("models", target);
  return kind === "alias" ? link("models", target.split("/")[0] ?? target) : undefined;
}
