/** What differs between two jobs. */
import type { ComponentChildren } from "preact";
import { api } from "../api/client";
import { usePoll } from "../api/poll";
import type { JobDiff } from "../api/types";
import { link } from "../router";
import { bytes, metric, shortId } from "../ui/format";
import { Empty, Failure, Loading, PageHead } from "../ui/parts";

export function DiffPage({ first, second }: { first: string; second: string }) {
  const path = { job_id: first, other_id: second };
  const { data, error } = usePoll(
    `diff ${first} ${second}`,
    (call) => api.GET("/mlops/training/jobs/{job_id}/diff/{other_id}", { ...call, params: { path } }),
    0,
  );
  return (
    <>
      <PageHead
        above={<a href={link("jobs")}>Jobs</a>}
        title="Differences"
        actions={
          <a class="button" href={link("jobs", second, "diff", first)}>
            Swap
          </a>
        }
      />
      <p class="diff-pair">
        <span class="removed">− {<a href={link("jobs", first)}>{shortId(first)}</a>}</span>
        <span class="added">+ {<a href={link("jobs", second)}>{shortId(second)}</a>}</span>
      </p>
      {error && <Failure error={error} what="comparison" />}
      {!data && !error && <Loading />}
      {data && <Differences diff={data} />}
    </>
  );
}

function Differences({ diff }: { diff: JobDiff }) {
  const values = [...diff.resources, ...diff.settings, ...(diff.data ?? []), ...(diff.params ?? []), ...(diff.args ? [diff.args] : [])];
  const names = [...diff.project, ...diff.environment];
  return (
    <>
      {diff.same && (
        <Empty title="The same">
          <p>Both jobs ask for the same. {diff.metrics.length ? "Their results differ:" : "Their results are the same, too."}</p>
        </Empty>
      )}
      {diff.script && (
        <Part title="Script">
          <Patch text={diff.script} />
        </Part>
      )}
      {values.length > 0 && (
        <Part title="Settings">
          <Values items={values} />
        </Part>
      )}
      <Lists title="Requirements" removed={diff.requirements.removed} added={diff.requirements.added} />
      <Lists title="Locked packages" removed={diff.environment_lock.removed} added={diff.environment_lock.added} />
      {names.length > 0 && (
        <Part title="Files and variables">
          <ul class="plain">
            {names.map((item) => (
              <li key={item.name} class={item.change}>
                <code>{item.name}</code> {item.change}
              </li>
            ))}
          </ul>
        </Part>
      )}
      {diff.metrics.length > 0 && (
        <Part title="Metrics">
          <Values items={diff.metrics} />
        </Part>
      )}
    </>
  );
}

function Part({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="diff-part">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Values({ items }: { items: JobDiff["settings"] }) {
  return (
    <table class="figures wide">
      <thead>
        <tr>
          <th>Name</th>
          <th class="right">First</th>
          <th class="right">Second</th>
          <th class="right">Change</th>
        </tr>
      </thead>
      <tbody>
        {items.map((item) => (
          <tr key={item.name}>
            <th scope="row">{item.name.replace(/_bytes$/, "")}</th>
            <td class="right number">{shown(item.name, item.first)}</td>
            <td class="right number">{shown(item.name, item.second)}</td>
            <td class="right number">{changeOf(item.name, item.first, item.second)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Lists({ title, removed, added }: { title: string; removed: string[]; added: string[] }) {
  if (!removed.length && !added.length) return null;
  return (
    <Part title={title}>
      <Patch text={[...removed.map((line) => `-${line}`), ...added.map((line) => `+${line}`)].join("\n")} />
    </Part>
  );
}

function Patch({ text }: { text: string }) {
  return (
    <pre class="code patch" tabIndex={0} aria-label="Differences">
      {text.split("\n").map((line, index) => (
        <div key={index} class={kindOf(line)}>
          {line || " "}
        </div>
      ))}
    </pre>
  );
}

function kindOf(line: string): string {
  if (line.startsWith("+++") || line.startsWith("---") || line.startsWith("@@")) return "muted";
  return line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : "";
}

function shown(name: string, value: unknown): string {
  if (value === null || value === undefined) return "—";
  if (typeof value === "number") return name.endsWith("_bytes") ? bytes(value) : metric(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

function changeOf(name: string, first: unknown, second: unknown): string {
  if (typeof first !== "number" || typeof second !== "number") return "";
  const change = second - first;
  return `${change > 0 ? "+" : "−"}${shown(name, Math.abs(change))}`;
}
