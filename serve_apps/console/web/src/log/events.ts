/** Server-Sent Events of an answer. The browser's EventSource sends no header, so it has no place for a key. */

export interface ServerEvent {
  /** "message" where the platform names none. */
  name: string;
  id: string;
  data: string;
}

/** Takes the text of a stream in any pieces. */
export class EventParser {
  private rest = "";

  /** Return the events that are complete now. */
  push(text: string): ServerEvent[] {
    const blocks = (this.rest + text).split("\n\n");
    this.rest = blocks.pop() ?? "";
    return blocks.map(eventOf).filter((event) => event !== undefined);
  }
}

/** Call `on` for each event, until the stream ends. */
export async function readEvents(body: ReadableStream<Uint8Array>, on: (event: ServerEvent) => void): Promise<void> {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parser.push(decoder.decode(part.value, { stream: true })).forEach(on);
  }
}

/** A block of lines `field: value`. Comments keep the connection alive, and are no events. */
function eventOf(block: string): ServerEvent | undefined {
  const event = { name: "message", id: "" };
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const [, field, value = ""] = /^(\w+): ?(.*)$/s.exec(line) ?? [];
    if (field === "event") event.name = value;
    if (field === "id") event.id = value;
    if (field === "data") data.push(value);
  }
  return data.length ? { ...event, data: data.join("\n") } : undefined;
}
