/** The sweep of a new job: "lr = 0.01, 0.1" lines as values by parameter. Pure. */
import { linesOf } from "./lines";

export interface SweepDraft {
  values: string;
  metric: string;
  mode: "max" | "min";
  best: boolean;
}

export const NO_SWEEP: SweepDraft = { values: "", metric: "", mode: "max", best: false };

export function parametersOf(text: string): Record<string, string[]> {
  return Object.fromEntries(
    linesOf(text).map((line) => {
      const at = line.search(/[=:]/);
      const name = at === -1 ? line : line.slice(0, at).trim();
      const values = at === -1 ? [] : line.slice(at + 1).split(",");
      return [name, values.map((value) => value.trim()).filter(Boolean)];
    }),
  );
}

/** Number of jobs; 1 without a sweep. */
export function countOf(sweep: SweepDraft): number {
  return Object.values(parametersOf(sweep.values)).reduce((product, values) => product * values.length, 1);
}

/** "2 × 3". */
export function shapeOf(sweep: SweepDraft): string {
  return Object.values(parametersOf(sweep.values))
    .map((values) => values.length)
    .join(" × ");
}

/** The upload's field; undefined without parameters. */
export function sweepOf(sweep: SweepDraft): Record<string, unknown> | undefined {
  const parameters = parametersOf(sweep.values);
  if (!Object.keys(parameters).length) return undefined;
  return {
    parameters,
    ...(sweep.metric && { metric: sweep.metric, ...(sweep.mode === "min" && { mode: "min" }), ...(sweep.best && { register: "best" }) }),
  };
}

export function sweepWordsOf(sweep: SweepDraft): string[] {
  const parameters = Object.entries(parametersOf(sweep.values));
  if (!parameters.length) return [];
  return [
    ...parameters.flatMap(([name, values]) => ["--sweep", `${name}=${values.join(",")}`]),
    ...(sweep.metric ? ["--metric", sweep.metric, ...(sweep.mode === "min" ? ["--mode", "min"] : []), ...(sweep.best ? ["--register-best"] : [])] : []),
  ];
}

export function sweepOptionsOf(sweep: SweepDraft): [string, unknown][] {
  const parameters = parametersOf(sweep.values);
  if (!Object.keys(parameters).length) return [];
  return [
    ["sweep", parameters],
    ...(sweep.metric ? ([["metric", sweep.metric]] as [string, unknown][]) : []),
    ...(sweep.metric && sweep.mode === "min" ? ([["mode", "min"]] as [string, unknown][]) : []),
    ...(sweep.metric && sweep.best ? ([["register_best", true]] as [string, unknown][]) : []),
  ];
}
