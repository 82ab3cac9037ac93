/** Python with line numbers and four colours. The text stays text. */
import type { JSX } from "preact";

const TOKENS =
  /(#[^\n]*)|((?:[rbfu]{0,2})(?:"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?))|\b(and|as|assert|async|await|break|class|continue|def|del|elif|else|except|False|finally|for|from|global|if|import|in|is|lambda|None|nonlocal|not|or|pass|raise|return|True|try|while|with|yield)\b|\b(\d[\d_]*\.?\d*(?:e[+-]?\d+)?)\b/gi;
const CLASSES = ["", "comment", "string", "keyword", "digits"];

export interface Token {
  text: string;
  kind: string;
}

/** Split Python into lines of tokens. Strings over several lines keep their colour. */
export function linesOf(text: string): Token[][] {
  const lines: Token[][] = [[]];
  const add = (piece: string, kind: string) => {
    for (const [index, part] of piece.split("\n").entries()) {
      if (index > 0) lines.push([]);
      if (part) lines.at(-1)?.push({ text: part, kind });
    }
  };
  let end = 0;
  for (const found of text.matchAll(TOKENS)) {
    if (found.index > end) add(text.slice(end, found.index), "");
    const group = found.slice(1).findIndex((item) => item !== undefined) + 1;
    add(found[0], CLASSES[group] ?? "");
    end = found.index + found[0].length;
  }
  add(text.slice(end), "");
  return lines;
}

export function Code({ text, isPython }: { text: string; isPython: boolean }): JSX.Element {
  const body = text.endsWith("\n") ? text.slice(0, -1) : text;
  const lines = isPython ? linesOf(body) : body.split("\n").map((line) => [{ text: line, kind: "" }]);
  return (
    <pre class="code" tabIndex={0} aria-label="Source">
      {lines.map((line, index) => (
        <div key={index} class="code-line">
          <span class="code-number">{index + 1}</span>
          <code>
            {line.map((token, number) => (
              <span key={number} class={token.kind ? `code-${token.kind}` : undefined}>
                {token.text}
              </span>
            ))}
          </code>
        </div>
      ))}
    </pre>
  );
}
