/** A value that the platform shows once, such as a key. */
import type { ComponentChildren } from "preact";
import { Dialog } from "./dialog";
import { Copy } from "./parts";

interface Shown {
  title: string;
  /** Why the value is needed, above it. */
  about: string;
  value: string;
  /** Its name on the button that copies it. */
  label: string;
  children?: ComponentChildren;
  onClose: () => void;
}

export function ShownOnce({ title, about, value, label, children, onClose }: Shown) {
  return (
    <Dialog title={title} onClose={onClose}>
      <p>{about}</p>
      <p class="secret">
        <code>{value}</code> <Copy text={value} label={label} />
      </p>
      {children}
      <div class="dialog-actions">
        <button type="button" class="primary" onClick={onClose}>
          I have it
        </button>
      </div>
    </Dialog>
  );
}
