/** The signing secret of a webhook, which the platform shows once. */
import { Dialog } from "../../ui/dialog";
import { Copy } from "../../ui/parts";

export function Secret({ name, secret, onClose }: { name: string; secret: string; onClose: () => void }) {
  return (
    <Dialog title={`The signing secret of ${name}`} onClose={onClose}>
      <p>It is shown once. The receiver needs it to check that events are the platform's.</p>
      <p class="secret">
        <code>{secret}</code> <Copy text={secret} label="the secret" />
      </p>
      <p class="muted">
        In Python: <code>Webhook(secret).verify(body, headers)</code> of the package <code>standardwebhooks</code>.
      </p>
      <div class="dialog-actions">
        <button type="button" class="primary" onClick={onClose}>
          I have it
        </button>
      </div>
    </Dialog>
  );
}
