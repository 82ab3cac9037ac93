/** The frame of every page: navigation, the banner of a platform that is away, and the page of the address. */
import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { keyIs } from "./access/key";
import { useRight } from "./access/may";
import { SignIn } from "./access/sign_in";
import { Who } from "./access/who";
import { api } from "./api/client";
import { answeredAt, isAway } from "./api/connection";
import { usePoll } from "./api/poll";
import { startKeys } from "./keys/keys";
import { Help, isHelpOpen } from "./keys/help";
import { isPaletteOpen, Palette } from "./keys/palette";
import { DeploymentsPage } from "./pages/deployments";
import { JobPage } from "./pages/job/job";
import { JobsPage } from "./pages/jobs";
import { ModelPage } from "./pages/model/model";
import { VersionPage } from "./pages/model/version";
import { ModelsPage } from "./pages/models";
import { DropAnywhere } from "./pages/new_job/dropped";
import { NewJobPage } from "./pages/new_job/new_job";
import { OverviewPage } from "./pages/overview";
import { PlaygroundPage } from "./pages/playground/playground";
import { link, match, type Params, path } from "./router";
import { now } from "./ui/clock";
import { duration, partName } from "./ui/format";
import { Later } from "./ui/later";
import { Empty, PageHead } from "./ui/parts";
import { nextTheme, theme } from "./ui/theme";

const PAGES: [string, (params: Params) => JSX.Element][] = [
  ["", () => <OverviewPage />],
  ["jobs", () => <JobsPage />],
  ["jobs/:", ([id = ""]) => <JobPage key={id} id={id} />],
  ["jobs/:/diff/:", ([first = "", second = ""]) => <Later key={`diff ${first} ${second}`} name="difference" load={() => import("./pages/diff").then(({ DiffPage }) => () => <DiffPage first={first} second={second} />)} />],
  ["new", () => <NewJobPage />],
  ["models", () => <ModelsPage />],
  ["models/:", ([name = ""]) => <ModelPage key={name} name={name} />],
  ["models/:/:", ([name = "", version = ""]) => <VersionPage key={`${name}/${version}`} name={name} version={version} />],
  ["deployments", () => <DeploymentsPage />],
  ["playground", () => <PlaygroundPage />],
  ["sweeps", () => <Later key="sweeps" name="sweeps" load={() => import("./pages/sweep/sweeps").then((file) => file.SweepsPage)} />],
  ["sweeps/:", ([id = ""]) => <Later key={`sweep ${id}`} name={`sweep ${id}`} load={() => import("./pages/sweep/sweep").then(({ SweepPage }) => () => <SweepPage id={id} />)} />],
  ["schedules", () => <Later key="schedules" name="schedules" load={() => import("./pages/schedules/schedules").then((file) => file.SchedulesPage)} />],
  ["schedules/new", () => <Later key="new schedule" name="new schedule" load={() => import("./pages/schedules/new_schedule").then((file) => file.NewSchedulePage)} />],
  ["schedules/:", ([id = ""]) => <Later key={`schedule ${id}`} name={`schedule ${id}`} load={() => import("./pages/schedules/schedule").then(({ SchedulePage }) => () => <SchedulePage id={id} />)} />],
  ["batches", () => <Later key="batches" name="batches" load={() => import("./pages/batches/batches").then((file) => file.BatchesPage)} />],
  ["batches/:", ([id = ""]) => <Later key={id} name={`batch ${id}`} load={() => import("./pages/batches/batch").then((file) => () => <file.BatchPage id={id} />)} />],
  ["datasets", () => <Later key="datasets" name="datasets" load={() => import("./pages/datasets/datasets").then((file) => file.DatasetsPage)} />],
  ["datasets/:", ([name = ""]) => <Later key={`dataset ${name}`} name="dataset" load={() => import("./pages/datasets/dataset").then((file) => file.DatasetPage)} />],
  ["cluster", () => <Later key="cluster" name="cluster" load={() => import("./pages/cluster/cluster").then((file) => file.ClusterPage)} />],
  ["environments", () => <Later key="environments" name="environments" load={() => import("./pages/environments").then((file) => file.EnvironmentsPage)} />],
  ["webhooks", () => <Later key="webhooks" name="webhooks" load={() => import("./pages/webhooks/webhooks").then((file) => file.WebhooksPage)} />],
  ["webhooks/new", () => <Later key="new webhook" name="new webhook" load={() => import("./pages/webhooks/new_webhook").then((file) => file.NewWebhookPage)} />],
  ["webhooks/:", ([id = ""]) => <Later key={`webhook ${id}`} name={`webhook ${id}`} load={() => import("./pages/webhooks/webhook").then(({ WebhookPage }) => () => <WebhookPage id={id} />)} />],
  ["settings", () => <Later key="settings" name="settings" load={() => import("./pages/admin/settings").then((file) => file.SettingsPage)} />],
  ["access", () => <Later key="access" name="access" load={() => import("./pages/admin/access").then((file) => file.AccessPage)} />],
  ["audit", () => <Later key="audit" name="audit" load={() => import("./pages/admin/audit").then((file) => file.AuditPage)} />],
];

const SECTIONS: [string, string, string][] = [
  ["", "Overview", "g o"],
  ["jobs", "Jobs", "g j"],
  ["sweeps", "Sweeps", "g s"],
  ["schedules", "Schedules", "g l"],
  ["batches", "Batches", "g b"],
  ["datasets", "Datasets", "g f"],
  ["models", "Models", "g m"],
  ["deployments", "Deployments", "g d"],
  ["playground", "Playground", "g p"],
  ["cluster", "Cluster", "g c"],
  ["environments", "Environments", "g e"],
  ["webhooks", "Webhooks", "g w"],
];

/** For admins: without keys, everybody is one. */
const ADMIN: typeof SECTIONS = [
  ["access", "Access", "g a"],
  ["audit", "Audit", "g u"],
  ["settings", "Settings", "g t"],
];

/** Number of running and waiting jobs, beside "Jobs" in the navigation. */
const unfinished = signal<number | undefined>(undefined);

export function App() {
  useEffect(startKeys, []);
  if (keyIs.value !== "accepted") return <SignIn />;
  return (
    <div class="frame">
      <a class="skip" href="#content">
        Skip to content
      </a>
      <Navigation />
      <main id="content">
        <Away />
        <Page />
      </main>
      <DropAnywhere />
      {isPaletteOpen.value && <Palette />}
      {isHelpOpen.value && <Help />}
    </div>
  );
}

function Page(): ComponentChildren {
  const here = path.value;
  for (const [pattern, draw] of PAGES) {
    const params = match(pattern, here);
    if (params) return draw(params);
  }
  return (
    <>
      <PageHead title="Not found" />
      <Empty title="There is no such page">
        <a class="button" href={link("")}>
          Overview
        </a>
      </Empty>
    </>
  );
}

function Navigation() {
  const { data } = usePoll("overview", (call) => api.GET("/mlops/overview", call), 5);
  const down = Object.entries(data?.parts ?? {}).filter(([, part]) => !part.ok);
  unfinished.value = data && (data.jobs.queued ?? 0) + (data.jobs.running ?? 0);
  const mayAdminister = useRight("administer").isGiven;
  const submitting = useRight("submit");
  const section = path.value.split("/")[1] ?? "";
  return (
    <nav class="side" aria-label="Main">
      <a class="brand" href={link("")}>
        <img src={new URL("./styles/raylift.svg", import.meta.url).href} alt="" width="20" height="20" />
        Raylift
      </a>
      {submitting.isGiven && (
        <a class="button primary new-job" href={link("new")} aria-keyshortcuts="n">
          New job
        </a>
      )}
      <ul>
        {SECTIONS.map(([name, label, keys]) => (
          <Section key={name} name={name} label={label} keys={keys} isHere={section === name} />
        ))}
      </ul>
      {mayAdminister && (
        <ul aria-label="Administration">
          {ADMIN.map(([name, label, keys]) => (
            <Section key={name} name={name} label={label} keys={keys} isHere={section === name} />
          ))}
        </ul>
      )}
      <div class="side-end">
        {down.length > 0 && (
          <p class="part-down" role="status">
            {down.map(([name]) => partName(name)).join(", ")} {down.length === 1 ? "is" : "are"} down
          </p>
        )}
        <Who />
        <a href="/docs">API reference</a>
        <button type="button" class="quiet" onClick={() => (isPaletteOpen.value = true)}>
          Go to… <kbd>Ctrl K</kbd>
        </button>
        <button type="button" class="quiet" onClick={() => (isHelpOpen.value = true)}>
          Keys <kbd>?</kbd>
        </button>
        <button type="button" class="quiet" onClick={nextTheme}>
          Theme: {theme.value}
        </button>
        {data && <span class="muted">Raylift {data.version}</span>}
      </div>
    </nav>
  );
}

interface SectionProps {
  name: string;
  label: string;
  keys: string;
  isHere: boolean;
}

function Section({ name, label, keys, isHere }: SectionProps) {
  return (
    <li>
      <a href={link(name)} aria-current={isHere ? "page" : undefined} title={keys}>
        {label}
        {name === "jobs" && !!unfinished.value && <span class="count">{unfinished.value}</span>}
      </a>
    </li>
  );
}

function Away() {
  if (!isAway.value) return null;
  const age = (now.value - answeredAt.value) / 1000;
  return (
    <p class="banner" role="alert">
      The platform does not answer. What you see is {duration(Math.max(1, Math.round(age)))} old; it goes on by itself.
    </p>
  );
}
