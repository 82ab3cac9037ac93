import type { ReportView } from "../api/types";

/** "2 high, 1 low" of a report with findings, else what came of it. */
export function summaryOf(report: ReportView): string {
  if (report.state !== "findings") return report.state === "clean" ? "nothing found" : (report.detail ?? "not run");
  const counts = ["high", "medium", "low"].map((severity) => [severity, report.findings.filter((one) => one.severity === severity).length] as const);
  return counts
    .filter(([, count]) => count > 0)
    .map(([severity, count]) => `${count} ${severity}`)
    .join(", ");
}
