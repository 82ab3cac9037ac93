/** The list of keys. */
import { signal } from "@preact/signals";
import { Dialog } from "../ui/dialog";

export const isHelpOpen = signal(false);

const KEYS: [string, string][] = [
  ["/", "Filter or find"],
  ["j  k", "Next, previous row"],
  ["Enter", "Open the row"],
  ["Esc", "Leave a field, close a dialog"],
  ["n", "New job"],
  ["g o", "Overview"],
  ["g j", "Jobs"],
  ["g m", "Models"],
  ["g d", "Deployments"],
  ["g p", "Playground"],
  ["Ctrl K", "Go to a page, job or model"],
  ["?", "This list"],
];

export function Help() {
  return (
    <Dialog title="Keys" onClose={() => (isHelpOpen.value = false)}>
      <dl class="keys">
        {KEYS.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split(/\s+(?!K$)/).map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
