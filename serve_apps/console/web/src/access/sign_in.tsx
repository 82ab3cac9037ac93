/** Asks for the key of a platform in keys mode. */
import { useEffect, useRef, useState } from "preact/hooks";
import { messageOf } from "../api/client";
import { keyIs, signIn } from "./key";

const FORM = /^[!-~]+$/;
const NOT_VALID = "The platform does not know this key, or it has expired or was revoked.";

export function SignIn() {
  const [entered, setEntered] = useState("");
  const [error, setError] = useState(keyIs.value === "refused" ? "Your key has expired or was revoked." : "");
  const [isSending, setSending] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = "Sign in · Raylift";
    field.current?.focus();
  }, []);

  const submit = async (event: Event) => {
    event.preventDefault();
    if (isSending) return;
    const key = entered.trim();
    setSending(true);
    try {
      setError(FORM.test(key) && (await signIn(key)) ? "" : NOT_VALID);
    } catch (failure) {
      setError(messageOf(failure));
    }
    setSending(false);
    field.current?.focus();
  };

  return (
    <main class="sign-in">
      <form onSubmit={(event) => void submit(event)} noValidate>
        <h1>Sign in to Raylift</h1>
        <div class={error ? "field wrong" : "field"}>
          <label for="key">Key</label>
          <input
            id="key"
            ref={field}
            type="password"
            autocomplete="current-password"
            spellcheck={false}
            aria-invalid={!!error}
            aria-describedby={error ? "key-error key-note" : "key-note"}
            value={entered}
            onInput={(event) => setEntered(event.currentTarget.value)}
          />
          {error && (
            <p class="field-error" id="key-error" role="alert">
              {error}
            </p>
          )}
          <p class="muted" id="key-note">
            An admin makes it with <code>raylift keys create</code>. This tab keeps it until you sign out or close it.
          </p>
        </div>
        <button type="submit" class="primary" aria-disabled={isSending}>
          {isSending ? "Signing in…" : "Sign in"}
        </button>
      </form>
    </main>
  );
}
