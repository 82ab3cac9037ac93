/** A dropped folder as a project's archive: read through the browser's file entries, packed as .tar.gz. */

const BLOCK = 512;
/** Folders that no project needs: caches, environments, histories. */
const LEFT_OUT = /^(\.git|\.hg|\.venv|venv|__pycache__|node_modules|\.ipynb_checkpoints|\.mypy_cache|\.ruff_cache|\.pytest_cache|mlruns|\.DS_Store)$/;

export interface ProjectFile {
  path: string;
  content: Uint8Array;
}

/** Files below a dropped folder, with paths relative to it. */
export async function filesBelow(folder: FileSystemDirectoryEntry, path = ""): Promise<ProjectFile[]> {
  const found: ProjectFile[] = [];
  for (const entry of await entriesOf(folder)) {
    if (LEFT_OUT.test(entry.name)) continue;
    const here = path + entry.name;
    if (entry.isDirectory) {
      found.push(...(await filesBelow(entry as FileSystemDirectoryEntry, `${here}/`)));
    } else if (entry.isFile) {
      const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
      found.push({ path: here, content: new Uint8Array(await file.arrayBuffer()) });
    }
  }
  return found;
}

/** A reader gives at most a hundred entries at a time. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const found: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...some);
  }
}

/** The script to run: train.py or main.py at the top, else the first script there, else the first of all. */
export function entrypointOf(paths: string[]): string {
  const scripts = paths.filter((path) => path.endsWith(".py")).sort((a, b) => a.split("/").length - b.split("/").length || a.localeCompare(b));
  return ["train.py", "main.py"].find((name) => scripts.includes(name)) ?? scripts[0] ?? "train.py";
}

export async function packed(name: string, files: ProjectFile[]): Promise<File> {
  const tar = new Blob([tarOf(files) as BlobPart]);
  const zipped = await new Response(tar.stream().pipeThrough(new CompressionStream("gzip"))).blob();
  return new File([zipped], `${name}.tar.gz`);
}

/** A tar archive (ustar, with a pax header for paths over 100 bytes). */
export function tarOf(files: ProjectFile[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const { path, content } of files) {
    const name = new TextEncoder().encode(path);
    if (name.length > 100) {
      const record = paxRecord(path);
      parts.push(header("pax", record.length, "x"), padded(record));
    }
    parts.push(header(path, content.length, "0"), padded(content));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** "LENGTH path=PATH\n", whose length counts itself. */
function paxRecord(path: string): Uint8Array {
  const rest = new TextEncoder().encode(` path=${path}\n`).length;
  let length = rest + 1;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  return new TextEncoder().encode(`${length} path=${path}\n`);
}

function header(path: string, size: number, kind: "0" | "x"): Uint8Array {
  const block = new Uint8Array(BLOCK);
  const put = (text: string, at: number, most: number) => block.set(new TextEncoder().encode(text).subarray(0, most), at);
  put(path, 0, 100);
  put("0000644\0", 100, 8);
  put("0000000\0", 108, 8);
  put("0000000\0", 116, 8);
  put(`${size.toString(8).padStart(11, "0")}\0`, 124, 12);
  put("00000000000\0", 136, 12);
  put("        ", 148, 8);
  put(kind, 156, 1);
  put("ustar\0" + "00", 257, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8);
  return block;
}

function padded(content: Uint8Array): Uint8Array {
  const block = new Uint8Array(Math.ceil(content.length / BLOCK) * BLOCK);
  block.set(content);
  return block;
}
