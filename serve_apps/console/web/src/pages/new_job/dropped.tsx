/** A file or folder that is dropped anywhere on the console begins a new job; on a form that takes one, it is its source. */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { useRight } from "../../access/may";
import { link, navigate, path } from "../../router";

export interface Dropped {
  file?: File | undefined;
  folder?: FileSystemDirectoryEntry | undefined;
}

/** What was dropped last, until the form takes it. */
export const dropped = signal<Dropped | undefined>(undefined);

const TAKES_FILES = new Set(["/new", "/schedules/new"]);

/** Hand over what was dropped on the form, or before it was opened. */
export function useDropped(take: (given: Dropped) => Promise<void>): void {
  const given = dropped.value;
  useEffect(() => {
    if (!given) return;
    dropped.value = undefined;
    void take(given);
  }, [given]);
}

/** Listens on the whole page, and covers it while something is held above it. */
export function DropAnywhere() {
  const [isOver, setOver] = useState(false);
  const { isGiven } = useRight("submit");
  useEffect(() => {
    if (!isGiven) return;
    const over = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => event.relatedTarget === null && setOver(false);
    const drop = (event: DragEvent) => {
      setOver(false);
      const found = droppedOf(event.dataTransfer);
      if (!found) return;
      event.preventDefault();
      dropped.value = found;
      if (!TAKES_FILES.has(path.value)) navigate(link("new"));
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, [isGiven]);
  if (!isOver) return null;
  return (
    <div class="drop-cover">
      <b>{path.value === "/schedules/new" ? "Drop it to schedule it" : "Drop it to begin a new job"}</b>
    </div>
  );
}

export function droppedOf(data: DataTransfer | null): Dropped | undefined {
  const entry = data?.items[0]?.webkitGetAsEntry();
  if (entry?.isDirectory) return { folder: entry as FileSystemDirectoryEntry };
  const file = data?.files[0];
  return file && { file };
}
