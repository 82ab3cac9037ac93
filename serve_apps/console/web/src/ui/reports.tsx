/** Reports of the scanners on a script and its packages, or on a model. They are made when somebody asks: a scan takes seconds. */
import { useState } from "preact/hooks";
import { type Answer, dataOf, messageOf } from "../api/client";
import type { FindingView, ReportList, ReportView } from "../api/types";
import { summaryOf } from "./report_summary";
import { State } from "./state";

const TONES: Record<string, string> = { clean: "ready", findings: "unhealthy", not_run: "stopped" };

export function Reports({ read }: { read: () => Promise<Answer<ReportList>> }) {
  const [reports, setReports] = useState<ReportView[]>();
  const [error, setError] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const scan = async () => {
    setBusy(true);
    setError(undefined);
    try {
      setReports((await dataOf(read())).reports);
    } catch (failure) {
      setError(messageOf(failure));
    }
    setBusy(false);
  };
  return (
    <section aria-labelledby="reports">
      <h2 id="reports">Reports of scanners</h2>
      <p class="muted">They inform; they are no boundary.</p>
      <button type="button" disabled={isBusy} onClick={() => void scan()}>
        {isBusy ? "Scanning …" : reports ? "Scan again" : "Scan"}
      </button>
      {error && (
        <p class="field-error" role="alert">
          {error}
        </p>
      )}
      <div aria-live="polite">
        {reports?.map((report) => (
          <OneReport key={report.tool} report={report} />
        ))}
      </div>
    </section>
  );
}

function OneReport({ report }: { report: ReportView }) {
  return (
    <>
      <p>
        <State state={TONES[report.state] ?? "stopped"} word={`${report.subject}, ${report.tool}`} detail={summaryOf(report)} />
      </p>
      {report.findings.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Severity</th>
              <th scope="col">Where</th>
              <th scope="col">Finding</th>
            </tr>
          </thead>
          <tbody>
            {report.findings.map((one: FindingView, index) => (
              <tr key={index}>
                <td>{one.severity}</td>
                <td>{one.where ?? "—"}</td>
                <td>{one.what}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}
