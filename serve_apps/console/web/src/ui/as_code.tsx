/** The same as the form does, ready to paste: a command, Python, curl. */
import { useState } from "preact/hooks";
import { Copy } from "./parts";

export interface AsCodeProps {
  cli: string;
  python: string;
  curl: string;
}

const FORMS: [keyof AsCodeProps, string][] = [
  ["cli", "Command"],
  ["python", "Python"],
  ["curl", "curl"],
];

export function AsCode(code: AsCodeProps) {
  const [form, setForm] = useState<keyof AsCodeProps>("cli");
  return (
    <details class="as-code">
      <summary>As code</summary>
      <div class="as-code-bar" role="group" aria-label="Language">
        {FORMS.map(([id, label]) => (
          <button key={id} type="button" class="quiet" aria-pressed={form === id} onClick={() => setForm(id)}>
            {label}
          </button>
        ))}
        <span class="spread" />
        <Copy text={code[form]} label="the code" />
      </div>
      <pre tabIndex={0} aria-label="Code">
        <code>{code[form]}</code>
      </pre>
    </details>
  );
}
