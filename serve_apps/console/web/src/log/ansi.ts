/** ANSI colours of one line, as pieces of text with classes. Other escape sequences are removed. Nothing becomes markup. */

export interface Piece {
  text: string;
  /** Space-separated class names; "" for plain text. */
  look: string;
}

// Control sequences, operating system commands (titles, links), and other two-character escapes.
const ESCAPES = /\u001b(?:\[([0-9;:?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\^_=>78])/g;
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

interface Style {
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
  color: string;
}

const PLAIN: Style = { bold: false, dim: false, italic: false, underline: false, color: "" };

/** Return the text of a line without escape sequences. */
export function plainText(line: string): string {
  return line.includes("\u001b") ? line.replace(ESCAPES, "") : line;
}

export function piecesOf(line: string): Piece[] {
  if (!line.includes("\u001b")) return line ? [{ text: line, look: "" }] : [];
  const pieces: Piece[] = [];
  let style = PLAIN;
  let end = 0;
  for (const found of line.matchAll(ESCAPES)) {
    if (found.index > end) pieces.push({ text: line.slice(end, found.index), look: lookOf(style) });
    end = found.index + found[0].length;
    if (found[2] === "m") style = changed(style, found[1] ?? "");
  }
  if (end < line.length) pieces.push({ text: line.slice(end), look: lookOf(style) });
  return pieces;
}

function changed(style: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map(Number);
  let next = style;
  for (let index = 0; index < codes.length; index += 1) {
    const code = codes[index] ?? 0;
    if (code === 38 || code === 48) {
      // 38;5;n or 38;2;r;g;b: only the sixteen named colours are shown.
      const color = codes[index + 1] === 5 ? (codes[index + 2] ?? 0) : -1;
      if (code === 38) next = { ...next, color: color >= 0 && color < 16 ? colorName(color) : "" };
      index += codes[index + 1] === 5 ? 2 : 4;
    } else {
      next = one(next, code);
    }
  }
  return next;
}

function one(style: Style, code: number): Style {
  if (code === 0) return PLAIN;
  if (code === 1) return { ...style, bold: true };
  if (code === 2) return { ...style, dim: true };
  if (code === 3) return { ...style, italic: true };
  if (code === 4) return { ...style, underline: true };
  if (code === 22) return { ...style, bold: false, dim: false };
  if (code === 23) return { ...style, italic: false };
  if (code === 24) return { ...style, underline: false };
  if (code >= 30 && code <= 37) return { ...style, color: colorName(code - 30) };
  if (code === 39) return { ...style, color: "" };
  if (code >= 90 && code <= 97) return { ...style, color: colorName(code - 90) };
  return style;
}

function colorName(number: number): string {
  return NAMES[number % 8] ?? "";
}

function lookOf(style: Style): string {
  const names = [
    style.bold && "ansi-bold",
    style.dim && "ansi-dim",
    style.italic && "ansi-italic",
    style.underline && "ansi-underline",
    style.color && `ansi-${style.color}`,
  ];
  return names.filter(Boolean).join(" ");
}
