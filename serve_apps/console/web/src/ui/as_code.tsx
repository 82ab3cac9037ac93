/** The same as the form does, ready to paste: a command, Python, curl. */
import { useState } from "preact/hooks";
import { Copy } from "./parts";

export interface AsCodeProps {
  cli: string;
  python: string;
  curl: string;
  /** Further forms: label and code. */
  more?: [string, string][];
}

export function AsCode({ cli, python, curl, more = [] }: AsCodeProps) {
  const [chosen, choose] = useState("Command");
  const forms: [string, string][] = [["Command", cli], ["Python", python], ["curl", curl], ...more];
  const code = forms.find(([label]) => label === chosen)?.[1] ?? cli;
  return (
    <details class="as-code">
      <summary>As code</summary>
      <div class="as-code-bar" role="group" aria-label="Language">
        {forms.map(([label]) => (
          <button key={label} type="button" class="quiet" aria-pressed={chosen === label} onClick={() => choose(label)}>
            {label}
          </button>
        ))}
        <span class="spread" />
        <Copy text={code} label="the code" />
      </div>
      <pre tabIndex={0} aria-label="Code">
        <code>{code}</code>
      </pre>
    </details>
  );
}
