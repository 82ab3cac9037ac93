/** Asks who one is on a platform in keys mode: by its identity provider, or by a key. */
import { useEffect, useRef, useState } from "preact/hooks";
import { api, messageOf } from "../api/client";
import { usePoll } from "../api/poll";
import { keyIs, providerPage, signIn } from "./key";

const FORM = /^[!-~]+$/;
const NOT_VALID = "The platform does not know this key, or it has expired or was revoked.";

export function SignIn() {
  const [entered, setEntered] = useState("");
  const [error, setError] = useState(keyIs.value === "refused" ? "Your session has ended, or its key was revoked." : "");
  const [isSending, setSending] = useState(false);
  const { data } = usePoll("auth", (call) => api.GET("/mlops/auth", call), 0);
  const provider = data?.provider;
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
        {provider && (
          <>
            <a class="button primary" href={providerPage()}>
              Sign in with {provider.name}
            </a>
            <p class="muted">Or with a key:</p>
          </>
        )}
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
            An admin makes it with <code>raylift keys create</code>. The browser keeps it until you sign out or close it.
          </p>
        </div>
        <button type="submit" class={provider ? "" : "primary"} aria-disabled={isSending}>
          {isSending ? "Signing in…" : "Sign in"}
        </button>
      </form>
    </main>
  );
}
