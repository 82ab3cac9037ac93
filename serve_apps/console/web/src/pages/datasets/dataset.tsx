/** One dataset: its versions, the profile of one of them, and the jobs and model versions that had it. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { useRight } from "../../access/may";
import { api, dataOf } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { ColumnProfile, DatasetUse, DatasetVersion } from "../../api/types";
import { link, match, navigate, path as here, query, withQuery } from "../../router";
import { AsCode } from "../../ui/as_code";
import { Confirm } from "../../ui/dialog";
import { bytes, grouped, metric, percent, plural, shortId } from "../../ui/format";
import { Ago, Copy, Facts, Failure, Loading, PageHead } from "../../ui/parts";
import { command, curl, literal, python } from "../../ui/snippets";
import { State } from "../../ui/state";

export function DatasetPage() {
  const [name = ""] = match("datasets/:", here.value) ?? [];
  const path = { dataset_name: name };
  const { data, error, refresh } = usePoll(`dataset ${name}`, (call) => api.GET("/mlops/datasets/{dataset_name}", { ...call, params: { path } }), 5);
  const asked = Number(query.value.get("version"));
  const shown = data?.versions.find((each) => each.version === asked) ?? data?.versions[0];
  return (
    <>
      <PageHead
        title={name}
        above={<a href={link("datasets")}>Datasets</a>}
        actions={shown && <Delete version={shown} isLast={data?.versions.length === 1} onDone={refresh} />}
      />
      {error && <Failure error={error} what="dataset" />}
      {!data && !error && <Loading />}
      {data && shown && (
        <>
          <Version key={shown.reference} name={name} version={shown.version} />
          <h2>Versions</h2>
          <Versions versions={data.versions} shown={shown.version} />
          <h2>Jobs that had a version of it</h2>
          <Uses uses={data.uses} />
        </>
      )}
    </>
  );
}

function Version({ name, version }: { name: string; version: number }) {
  const path = { dataset_name: name, version };
  const { data, error } = usePoll(
    `dataset ${name}@${version}`,
    (call) => api.GET("/mlops/datasets/{dataset_name}/versions/{version}", { ...call, params: { path } }),
    0,
  );
  if (error) return <Failure error={error} what="version" />;
  if (!data) return <Loading />;
  return (
    <>
      <Facts
        items={[
          ["Version", <span class="identifier"><code>{data.reference}</code> <Copy text={data.reference} label="the version" /></span>],
          ["SHA-256", <span class="identifier"><code title={data.digest}>{data.digest.slice(0, 12)}</code> <Copy text={data.digest} label="the SHA-256" /></span>],
          ["Size", `${bytes(data.size_bytes)} in ${plural(data.file_count, "file")}`],
          ["Rows", data.rows === null ? "—" : grouped(data.rows)],
          ["Source", data.source ?? "uploaded"],
          ...(data.job_id ? ([["Output of", <a href={link("jobs", data.job_id)}>{shortId(data.job_id)}</a>]] as [string, JSX.Element][]) : []),
          ["Added", <><Ago at={data.created_at} /> by {data.created_by}</>],
        ]}
      />
      {data.note && <p class="muted">{data.note}</p>}
      {data.columns.length > 0 && <Columns columns={data.columns} profiled={data.profiled_rows} rows={data.rows} />}
      <AsCode
        cli={command("train", "train.py", "--data", `train=${data.reference}`)}
        python={python(`client.train("train.py", data={"train": ${literal(data.reference)}})`)}
        curl={curl("GET", data.links.self ?? "")}
      />
    </>
  );
}

function Columns({ columns, profiled, rows }: { columns: ColumnProfile[]; profiled: number; rows: number | null }) {
  return (
    <>
      <h2>{profiled === rows ? "Columns" : `Columns of the first ${plural(profiled, "row")}`}</h2>
      <div class="table-box" tabIndex={0} role="region" aria-label="Columns">
        <table>
          <thead>
            <tr>
              <th>Column</th>
              <th>Type</th>
              <th class="right">Missing</th>
              <th>Values</th>
            </tr>
          </thead>
          <tbody>
            {columns.map((column) => (
              <tr key={column.name}>
                <td>{column.name}</td>
                <td>
                  <code>{column.type}</code>
                </td>
                <td class="right number nowrap">{missingOf(column.missing, profiled)}</td>
                <td>{valuesOf(column)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** Missing values with their share of the rows; "—" where there are none. */
export function missingOf(missing: number, rows: number): string {
  return missing ? `${grouped(missing)} (${percent(missing / Math.max(rows, 1))})` : "—";
}

/** Range and mean of numbers, or the most frequent texts. */
export function valuesOf(column: ColumnProfile): string {
  if (column.top) return `${grouped(column.distinct ?? 0)} different: ${column.top.map((each) => `${each.value} (${grouped(each.count)})`).join(", ")}`;
  if (column.mean != null) return `${metric(column.min as number)} to ${metric(column.max as number)}, mean ${metric(column.mean)}`;
  return column.min == null ? "" : `${column.min} to ${column.max}`;
}

function Versions({ versions, shown }: { versions: DatasetVersion[]; shown: number }) {
  return (
    <div class="table-box">
      <table>
        <thead>
          <tr>
            <th>Version</th>
            <th class="right">Size</th>
            <th class="right">Rows</th>
            <th>SHA-256</th>
            <th>Added by</th>
            <th class="right">Added</th>
          </tr>
        </thead>
        <tbody>
          {versions.map((each) => (
            <tr key={each.version} aria-current={each.version === shown ? "true" : undefined}>
              <td>
                <a href={withQuery({ version: String(each.version) })} data-row>
                  @{each.version}
                </a>
                {each.version === shown && <span class="muted"> shown above</span>}
              </td>
              <td class="right number nowrap">{bytes(each.size_bytes)}</td>
              <td class="right number">{each.rows === null ? "—" : grouped(each.rows)}</td>
              <td>
                <code>{each.digest.slice(0, 12)}</code>
              </td>
              <td>{each.created_by}</td>
              <td class="right number nowrap">
                <Ago at={each.created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Uses({ uses }: { uses: DatasetUse[] }) {
  if (!uses.length) return <p class="muted">None yet.</p>;
  return (
    <div class="table-box">
      <table>
        <thead>
          <tr>
            <th class="col-state">State</th>
            <th>Job</th>
            <th>Version</th>
            <th>As</th>
            <th>Model version</th>
            <th class="right">Created</th>
          </tr>
        </thead>
        <tbody>
          {uses.map((use) => (
            <tr key={`${use.job_id} ${use.alias}`}>
              <td class="col-state">
                <State state={use.status} />
              </td>
              <td>
                <a href={link("jobs", use.job_id)} data-row>
                  {shortId(use.job_id)}
                </a>
              </td>
              <td class="number">@{use.version}</td>
              <td>{use.alias}</td>
              <td>
                {use.model_name && use.model_version ? (
                  <a href={link("models", use.model_name, use.model_version)}>
                    {use.model_name} v{use.model_version}
                  </a>
                ) : (
                  "—"
                )}
              </td>
              <td class="right number nowrap">
                <Ago at={use.created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Delete({ version, isLast, onDone }: { version: DatasetVersion; isLast: boolean; onDone: () => void }) {
  const [isAsked, ask] = useState(false);
  const right = useRight("submit");
  const path = { dataset_name: version.name, version: version.version };
  const remove = async () => {
    await dataOf(api.DELETE("/mlops/datasets/{dataset_name}/versions/{version}", { params: { path } }));
    // Else the version that is gone is shown until the next poll.
    onDone();
    navigate(isLast ? link("datasets") : link("datasets", version.name));
  };
  return (
    <>
      <button type="button" class="quiet" disabled={!right.isGiven} title={right.why} onClick={() => ask(true)}>
        Delete {version.reference}
      </button>
      {isAsked && (
        <Confirm title={`Delete ${version.reference}?`} action="Delete" isDangerous onConfirm={remove} onClose={() => ask(false)}>
          <p>Jobs that had it stay, but cannot run again with it. While a job that has not ended gets it, this is refused.</p>
          <AsCode
            cli={command("data", "delete", version.reference)}
            python={python(`client.datasets.delete(${literal(version.reference)})`)}
            curl={curl("DELETE", version.links.self ?? "")}
          />
        </Confirm>
      )}
    </>
  );
}
