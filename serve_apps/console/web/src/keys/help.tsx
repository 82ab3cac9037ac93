/** The list of keys. */
import { signal } from "@preact/signals";
import { Dialog } from "../ui/dialog";
import { GO } from "./pages";

export const isHelpOpen = signal(false);

const KEYS: [string, string][] = [
  ["/", "Filter or find"],
  ["j  k", "Next, previous row"],
  ["Enter", "Open the row"],
  ["Esc", "Leave a field, close a dialog"],
  ["n", "New job"],
  ["Ctrl K", "Go to a page, job or model"],
  ["?", "This list"],
];

export function Help() {
  return (
    <Dialog title="Keys" onClose={() => (isHelpOpen.value = false)}>
      <dl class="keys">
        {[...KEYS, ...Object.entries(GO).map(([key, [, label]]) => [`g ${key}`, label] as const)].map(([keys, what]) => (
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
      <div class="dialog-actions">
        <button type="button" onClick={() => (isHelpOpen.value = false)}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
