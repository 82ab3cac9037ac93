/** The version of a dataset that a job gets when it runs again. */
import { api } from "../../api/client";
import { usePoll } from "../../api/poll";
import type { JobView } from "../../api/types";
import { grouped } from "../../ui/format";

interface Choice {
  before: NonNullable<JobView["data"]>[number];
  /** "name@version". */
  value: string;
  onChange: (reference: string) => void;
}

export function DataChoice({ before, value, onChange }: Choice) {
  const path = { dataset_name: before.name };
  const { data } = usePoll(`dataset ${before.name}`, (call) => api.GET("/mlops/datasets/{dataset_name}", { ...call, params: { path } }), 0);
  const then = `${before.name}@${before.version}`;
  const known = data?.versions.map((each) => [each.reference, each.rows === null ? "" : `, ${grouped(each.rows)} rows`]) ?? [];
  const isThere = known.some(([reference]) => reference === then);
  const versions = isThere ? known : [[then, data ? ", which was deleted" : ""], ...known];
  return (
    <label>
      Data: {before.alias}
      <select value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {versions.map(([reference, about]) => (
          <option key={reference} value={reference}>
            {reference}
            {reference === then ? `${about} (as before)` : about}
          </option>
        ))}
      </select>
    </label>
  );
}
