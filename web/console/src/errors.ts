import type { CombinedError } from "urql";

/** An error as the page shows it. */
export interface Problem {
  code: string;
  message: string;
  retryable: boolean;
  retryAfterMs: number;
  path: readonly (string | number)[];
  requestId?: string;
}

/** The errors of a failed or partly failed request. */
export function problemsOf(error: CombinedError | undefined): Problem[] {
  if (!error) return [];
  if (error.graphQLErrors.length === 0) {
    return [{ code: "NETWORK", message: error.message, retryable: true, retryAfterMs: 0, path: [] }];
  }
  return error.graphQLErrors.map(({ extensions, message, path }) => {
    const upstream = extensions?.upstream as { requestId?: string } | undefined;
    return {
      code: String(extensions?.code ?? "UNKNOWN"),
      message,
      retryable: extensions?.retryable === true,
      retryAfterMs: Number(extensions?.retryAfterMs ?? 0),
      path: path ?? [],
      requestId: upstream?.requestId,
    };
  });
}

/** The error at a path, if there is one. */
export function problemAt(problems: Problem[], ...path: string[]): Problem | undefined {
  return problems.find((problem) => path.every((part, index) => problem.path[index] === part));
}

/** One problem of each code: a list with a hundred bad rows has one note. */
export function distinct(problems: Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [problem.code, problem])).values()];
}
