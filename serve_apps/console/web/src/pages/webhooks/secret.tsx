/** The signing secret of a webhook. */
import { ShownOnce } from "../../ui/shown_once";

export function Secret({ name, secret, onClose }: { name: string; secret: string; onClose: () => void }) {
  const about = "It is shown once. The receiver needs it to check that events are the platform's.";
  return (
    <ShownOnce title={`The signing secret of ${name}`} about={about} value={secret} label="the secret" onClose={onClose}>
      <p class="muted">
        In Python: <code>Webhook(secret).verify(body, headers)</code> of the package <code>standardwebhooks</code>.
      </p>
    </ShownOnce>
  );
}
