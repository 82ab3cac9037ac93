/** The lines of a log that grows. A carriage return writes a line anew, as in a terminal: a progress bar stays one line. */

export class LogLines {
  /** Finished lines, then the line that is being written, if it has text. */
  private lines: string[] = [];
  private open = "";
  private isReturned = false;

  constructor(private readonly limit = 1_000_000) {}

  get count(): number {
    return this.lines.length + (this.open ? 1 : 0);
  }

  at(index: number): string {
    return index < this.lines.length ? (this.lines[index] ?? "") : this.open;
  }

  append(text: string): void {
    let begin = 0;
    while (begin < text.length) {
      const newline = text.indexOf("\n", begin);
      const end = newline === -1 ? text.length : newline;
      this.write(text.slice(begin, end));
      if (newline === -1) break;
      this.lines.push(this.open);
      this.open = "";
      this.isReturned = false;
      begin = newline + 1;
    }
    if (this.lines.length > this.limit) this.lines = this.lines.slice(-this.limit);
  }

  /** Indexes of the lines that contain `wanted`, in any case of letters. */
  find(wanted: string, plain: (line: string) => string): number[] {
    const text = wanted.toLowerCase();
    const found: number[] = [];
    if (!text) return found;
    for (let index = 0; index < this.count; index += 1) {
      if (plain(this.at(index)).toLowerCase().includes(text)) found.push(index);
    }
    return found;
  }

  private write(text: string): void {
    for (const [number, part] of text.split("\r").entries()) {
      if (number > 0) this.isReturned = true;
      if (!part) continue;
      this.open = this.isReturned ? part : this.open + part;
      this.isReturned = false;
    }
  }
}
