/** A link that downloads a file. With a key the page fetches it, because a link sends no header. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { hasKey, send } from "./key";

export interface DownloadProps {
  path: string;
  name: string;
  children: ComponentChildren;
}

export function Download({ path, name, children }: DownloadProps) {
  const [error, setError] = useState("");
  const fetched = async (event: Event) => {
    event.preventDefault();
    setError("");
    try {
      const answer = await send(path);
      if (!answer.ok) throw new Error(`The platform answered ${answer.status}.`);
      save(await answer.blob(), name);
    } catch (failure) {
      setError(messageOf(failure));
    }
  };
  return (
    <>
      {error && (
        <span class="field-error" role="alert">
          {error}
        </span>
      )}
      <a class="button quiet" href={path} download={name} onClick={hasKey() ? (event) => void fetched(event) : undefined}>
        {children}
      </a>
    </>
  );
}

function save(content: Blob, name: string): void {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(content);
  anchor.download = name;
  anchor.click();
  // The browser reads it after the click.
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
}
