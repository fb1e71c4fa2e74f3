import type { CombinedError } from "urql";

/** An error as the page shows it. */
export interface Told {
  code: string;
  words: string;
  retryable: boolean;
  retryAfterMs: number;
  path: readonly (string | number)[];
  requestId?: string;
}

const WORDS: Record<string, string> = {
  BAD_USER_INPUT: "Something in this request is not valid. Check the id and the filters.",
  UNAUTHENTICATED: "The token is missing, wrong or has expired. Enter a valid token.",
  UPSTREAM_UNAUTHENTICATED: "The service is not configured correctly. Tell its operators.",
  FORBIDDEN: "This token may not see recordings of this project.",
  NOT_FOUND: "There is no such recording.",
  CONFLICT: "The recording is being changed right now.",
  RATE_LIMITED: "Too many requests right now. Wait a moment.",
  UPSTREAM_ERROR: "The recording service failed.",
  UPSTREAM_UNAVAILABLE: "The recording service cannot be reached.",
  UPSTREAM_TIMEOUT: "The recording service took too long.",
  UPSTREAM_INVALID_RESPONSE: "The recording service sent a value that cannot be read.",
  QUERY_TOO_COMPLEX: "This asks for too much at once.",
  RESPONSE_TOO_LARGE: "This answer would be too large. Ask for less.",
  OVERLOADED: "The service is overloaded right now.",
  AUDIT_UNAVAILABLE: "The service cannot keep its records right now.",
  INTERNAL_SERVER_ERROR: "Something went wrong in the gateway. Tell its operators.",
};

/** The errors to show for a failed or partly failed request. */
export function told(error: CombinedError | undefined): Told[] {
  if (!error) return [];
  if (error.graphQLErrors.length === 0) {
    const words = "The gateway cannot be reached.";
    return [{ code: "NETWORK", words, retryable: true, retryAfterMs: 0, path: [] }];
  }
  return error.graphQLErrors.map(({ extensions, message, path }) => {
    const code = String(extensions?.code ?? "UNKNOWN");
    const upstream = extensions?.upstream as { requestId?: string } | undefined;
    return {
      code,
      words: WORDS[code] ?? message,
      retryable: extensions?.retryable === true,
      retryAfterMs: Number(extensions?.retryAfterMs ?? 0),
      path: path ?? [],
      requestId: upstream?.requestId,
    };
  });
}

/** The error of one field of an object, if it has one. */
export function ofField(errors: Told[], ...path: string[]): Told | undefined {
  return errors.find((error) => path.every((part, index) => error.path[index] === part));
}
