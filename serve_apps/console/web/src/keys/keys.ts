/** Keys of the whole console. Keys of a field stay in it. */
import { link, navigate } from "../router";
import { isHelpOpen } from "./help";
import { GO } from "./pages";
import { isPaletteOpen } from "./palette";

const WAIT_MS = 1200;

let wentAt = 0;

/** Listen to keys. Returns what stops it. */
export function startKeys(): () => void {
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}

function onKey(event: KeyboardEvent): void {
  if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    isPaletteOpen.value = !isPaletteOpen.value;
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
  const second = GO[event.key];
  if (second && Date.now() - wentAt < WAIT_MS) {
    wentAt = 0;
    event.preventDefault();
    navigate(link(second[0]));
    return;
  }
  act(event);
}

function act(event: KeyboardEvent): void {
  const actions: Record<string, () => void> = {
    g: () => (wentAt = Date.now()),
    j: () => moveRow(1),
    k: () => moveRow(-1),
    n: () => navigate(link("new")),
    "?": () => (isHelpOpen.value = true),
    "/": () => document.querySelector<HTMLElement>("[data-find]")?.focus(),
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

/** Focus the next row's link. Enter then opens it, as any link. */
function moveRow(by: number): void {
  const rows = Array.from(document.querySelectorAll<HTMLElement>("[data-row]"));
  const present = rows.indexOf(document.activeElement as HTMLElement);
  const next = rows[present === -1 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(present + by, 0), rows.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable]") !== null;
}
