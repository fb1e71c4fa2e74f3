import type { FormEvent, ReactNode } from "react";

import { queryOf, STATUSES, TYPES } from "./filters.ts";
import { useWords } from "./language.tsx";

interface Props {
  query: URLSearchParams;
  apply: (query: URLSearchParams) => void;
  /** Fields below the filters, such as the order of a list. */
  children?: ReactNode;
}

/** The filters of recordings, as a form. They live in the address, so that a link or Back restores them. */
export function Filters({ query, apply, children }: Props) {
  const { texts } = useWords();
  const words = texts.filters;
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    apply(queryOf(new FormData(event.currentTarget)));
  };
  const text = (name: string) => query.get(name) ?? "";
  return (
    // A new address fills in the form anew.
    <form className="filters card" key={query.toString()} onSubmit={submit} aria-label={words.label}>
      <div className="fields">
        <label>
          {words.status}
          <select name="status" defaultValue={text("status")}>
            <option value="">{words.any}</option>
            {STATUSES.map((status) => (
              <option key={status} value={status}>{texts.statuses[status]}</option>
            ))}
          </select>
        </label>
        <label>
          {words.type}
          <select name="type" defaultValue={text("type")}>
            <option value="">{words.any}</option>
            {TYPES.map((type) => <option key={type} value={type}>{texts.types[type]}</option>)}
          </select>
        </label>
        <label>{words.user} <input name="user" defaultValue={text("user")} maxLength={255} /></label>
        <label>
          {words.desktops}
          <input name="desktop" defaultValue={text("desktop")} placeholder={words.desktopsHint} />
        </label>
        <label>
          {words.after} <input name="after" type="datetime-local" defaultValue={text("after")} />
        </label>
        <label>
          {words.before} <input name="before" type="datetime-local" defaultValue={text("before")} />
        </label>
        {children}
      </div>
      <div className="row">
        <button type="submit" className="primary">{words.apply}</button>
        {query.size > 0 && (
          <button type="button" className="plain" onClick={() => apply(new URLSearchParams())}>{words.clear}</button>
        )}
      </div>
    </form>
  );
}
