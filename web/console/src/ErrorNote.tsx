import { useEffect, useState } from "react";

import { useAccess } from "./AccessForm.tsx";
import type { Problem } from "./errors.ts";
import { useWords } from "./language.tsx";
import type { Texts } from "./texts/en.ts";

export function wordsFor(problem: Problem, texts: Texts) {
  const known: Record<string, { what: string; advice: string }> = texts.problems;
  return known[problem.code] ?? texts.problem.other;
}

/** What went wrong, what to do about it, and a retry where it can help. */
export function ErrorNote({ problem, retry }: { problem: Problem; retry?: () => void }) {
  const { texts } = useWords();
  const { openForm } = useAccess();
  const wait = useCountdown(problem);
  const { what, advice } = wordsFor(problem, texts);
  const needsToken = problem.code === "UNAUTHENTICATED";
  return (
    <div className="problem" role="alert" data-code={problem.code}>
      <div>
        <p className="problem-what">{what}</p>
        <p>{advice}</p>
        <p className="quiet small">
          <code>{problem.code}</code> · {problem.message}
          {problem.requestId && ` · ${texts.problem.request} ${problem.requestId}`}
        </p>
      </div>
      {problem.retryable && retry && (
        <button type="button" onClick={retry} disabled={wait > 0}>
          {wait > 0 ? texts.problem.wait(wait) : texts.problem.retry}
        </button>
      )}
      {needsToken && (
        <button type="button" onClick={openForm}>{texts.problem.enterToken}</button>
      )}
    </div>
  );
}

/** The seconds to wait before a retry, counting down. */
function useCountdown(problem: Problem): number {
  const [left, setLeft] = useState(0);
  useEffect(() => {
    const end = Date.now() + problem.retryAfterMs;
    const tick = () => setLeft(Math.max(0, Math.ceil((end - Date.now()) / 1000)));
    tick();
    const timer = setInterval(tick, 250);
    const over = setTimeout(() => clearInterval(timer), problem.retryAfterMs + 500);
    return () => {
      clearInterval(timer);
      clearTimeout(over);
    };
  }, [problem]);
  return left;
}
