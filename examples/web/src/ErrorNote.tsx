import { useEffect, useState } from "react";

import type { Told } from "./errors.ts";

/** An error in words, with a way to ask again where that can help. */
export function ErrorNote({ error, retry }: { error: Told; retry?: () => void }) {
  const [waiting, setWaiting] = useState(error.retryAfterMs > 0);
  useEffect(() => {
    setWaiting(error.retryAfterMs > 0);
    const over = setTimeout(() => setWaiting(false), error.retryAfterMs);
    return () => clearTimeout(over);
  }, [error]);
  return (
    <div className="error" role="alert" data-code={error.code}>
      <p>{error.words}</p>
      <p className="small">
        {error.code}
        {error.requestId && <> · request {error.requestId}</>}
      </p>
      {error.retryable && retry && (
        <button type="button" onClick={retry} disabled={waiting}>
          {waiting ? "Wait…" : "Retry"}
        </button>
      )}
    </div>
  );
}
