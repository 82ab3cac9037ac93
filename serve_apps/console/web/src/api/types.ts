/** Names of the API's schemas. `npm run types` writes schema.d.ts from the platform's OpenAPI document. */
import type { components, paths } from "./schema";

type Schemas = components["schemas"];

export type JobSummary = Schemas["JobSummary"];
export type JobView = Schemas["JobView"];
export type GraphJob = Schemas["GraphJob"];
export type JobPage = Schemas["JobPage"];
export type EventView = Schemas["EventView"];
export type AttemptView = Schemas["AttemptView"];
export type JobDiff = Schemas["JobDiff"];
export type Overview = Schemas["Overview"];
export type ModelSummary = Schemas["ModelSummary"];
export type ModelView = Schemas["ModelView"];
export type VersionView = Schemas["VersionView"];
export type DeploymentView = Schemas["DeploymentView"];
export type TrafficView = Schemas["TrafficView"];
export type SignatureView = Schemas["SignatureView"];
export type ClusterView = Schemas["ClusterView"];
export type NodeView = Schemas["NodeView"];
export type NodeStateView = Schemas["NodeStateView"];
export type HolderView = Schemas["HolderView"];
export type ReservationView = Schemas["ReservationView"];
export type OwnerView = Schemas["OwnerView"];
export type QueueView = Schemas["QueueView"];
export type EnvironmentView = Schemas["EnvironmentView"];
export type KeyView = Schemas["KeyView"];
export type NewKeyView = Schemas["NewKeyView"];
export type AuditEntry = Schemas["AuditEntryView"];
export type ReportList = Schemas["ReportList"];
export type ReportView = Schemas["ReportView"];
export type FindingView = Schemas["FindingView"];
export type SweepView = Schemas["SweepView"];
export type SweepRow = Schemas["SweepRow"];
export type DatasetVersion = Schemas["DatasetVersionSummary"];
export type DatasetUse = Schemas["DatasetUseView"];
export type ColumnProfile = Schemas["ColumnProfile"];
export type ScheduleView = Schemas["ScheduleView"];
export type ScheduleCheck = Schemas["ScheduleCheck"];
export type ScheduleRun = Schemas["ScheduleRunView"];
export type BatchSummary = Schemas["BatchSummary"];
export type BatchView = Schemas["BatchView"];
export type WebhookView = Schemas["WebhookView"];
export type NewWebhookView = Schemas["NewWebhookView"];
export type WebhookCheck = Schemas["WebhookCheck"];
export type DeliveryView = Schemas["DeliveryView"];
export type UploadCheck = Schemas["UploadCheck"];
export type LiveUsage = Schemas["LiveUsageView"];
export type SeriesView = Schemas["SeriesView"];
export type MetricCurve = Schemas["MetricCurve"];
export type SeriesPoint = Schemas["SeriesPoint"];
export type RolloutView = Schemas["RolloutView"];
export type TrafficChangeView = Schemas["TrafficChangeView"];
/** Error of the API. The optional members are absent or null. */
export interface Problem {
  title: string;
  status: number;
  detail: string;
  code: string;
  errors?: Schemas["ProblemField"][] | null;
}

export type JobReason = NonNullable<NonNullable<paths["/mlops/training/jobs"]["get"]["parameters"]["query"]>["reason"]>;
export type JobStatus = JobSummary["status"];
export type DeploymentStatus = DeploymentView["status"];
export type QualityView = Schemas["QualityView"];
export type MonitorView = Schemas["MonitorView"];
