/** The second key after "g": the page that it opens, and its title. */
export const GO: Record<string, [string, string]> = {
  o: ["", "Overview"],
  j: ["jobs", "Jobs"],
  m: ["models", "Models"],
  d: ["deployments", "Deployments"],
  p: ["playground", "Playground"],
  s: ["sweeps", "Sweeps"],
  l: ["schedules", "Schedules"],
  b: ["batches", "Batches"],
  f: ["datasets", "Datasets"],
  c: ["cluster", "Cluster"],
  e: ["environments", "Environments"],
  w: ["webhooks", "Webhooks"],
  a: ["access", "Access"],
  u: ["audit", "Audit"],
  t: ["settings", "Settings"],
};
