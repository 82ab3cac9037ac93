/** All datasets of the workspace by name, each with its newest version. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import { link } from "../../router";
import { bytes, grouped } from "../../ui/format";
import { AsCode } from "../../ui/as_code";
import { Ago, Empty, Failure, Loading, PageHead } from "../../ui/parts";
import { command, curl, python } from "../../ui/snippets";

export function DatasetsPage() {
  const { data, error } = usePoll("datasets", (call) => api.GET("/mlops/datasets", call), 5);
  return (
    <>
      <PageHead title="Datasets" />
      {error && <Failure error={error} what="list of datasets" />}
      {!data && !error && <Loading />}
      {data && !data.datasets.length && <NoDatasets />}
      {data && data.datasets.length > 0 && (
        <div class="table-box">
          <table>
            <thead>
              <tr>
                <th>Dataset</th>
                <th>Newest</th>
                <th class="right">Versions</th>
                <th class="right">Size</th>
                <th class="right">Rows</th>
                <th>Added by</th>
                <th class="right">Added</th>
              </tr>
            </thead>
            <tbody>
              {data.datasets.map(({ name, newest, versions }) => (
                <tr key={name}>
                  <td>
                    <a href={link("datasets", name)} data-row>
                      {name}
                    </a>{" "}
                    <span class="muted">{newest.format ?? (newest.folder ? "folder" : "file")}</span>
                  </td>
                  <td class="number">@{newest.version}</td>
                  <td class="right number">{grouped(versions)}</td>
                  <td class="right number nowrap">{bytes(newest.size_bytes)}</td>
                  <td class="right number">{newest.rows === null ? "—" : grouped(newest.rows)}</td>
                  <td>{newest.created_by}</td>
                  <td class="right number nowrap">
                    <Ago at={newest.created_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

function NoDatasets() {
  return (
    <Empty title="No datasets yet">
      <p>A dataset is a file or a folder with a name. Jobs get a version of it, and you see which job and which model had which data.</p>
      <AsCode
        cli={command("data", "add", "churn-train", "./train.parquet")}
        python={python('client.datasets.add("churn-train", "train.parquet")')}
        curl={curl("POST", "/mlops/datasets", { name: "churn-train", uri: "s3://bucket/train.parquet" })}
      />
    </Empty>
  );
}
