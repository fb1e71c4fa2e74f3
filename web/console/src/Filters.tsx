import type { FormEvent, ReactNode } from "react";

import { queryOf, RARE, STATUSES, TYPES } from "./filters.ts";
import { useWords } from "./language.tsx";

interface Props {
  /** Whether the form is open before anybody has opened it. */
  isOpen: boolean;
  query: URLSearchParams;
  apply: (query: URLSearchParams) => void;
  /** Further fields, such as the order of a list. */
  children?: ReactNode;
}

/** The filters of recordings, as a form. They live in the address, so that a link or Back restores them. */
export function Filters({ isOpen, query, apply, children }: Props) {
  const { texts } = useWords();
  const words = texts.filters;
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    apply(queryOf(new FormData(event.currentTarget)));
  };
  const count = [...query.keys()].filter((name) => name !== "order").length;
  const field = (name: string) => ({ name, defaultValue: query.get(name) ?? "" });
  return (
    <details className="card" open={isOpen}>
      <summary>{words.label}{count > 0 && <span className="count">{words.active(count)}</span>}</summary>
      {/* A new address fills in the form anew. */}
      <form className="filters" key={query.toString()} onSubmit={submit} aria-label={words.label}>
        <Choices name="status" label={words.status} options={STATUSES} words={texts.statuses} query={query} />
        <Choices name="type" label={words.type} options={TYPES} words={texts.types} query={query} />
        <div className="fields">
          <label>{words.users} <input {...field("user")} placeholder={words.usersHint} /></label>
          <label>{words.desktops} <input {...field("desktop")} placeholder={words.desktopsHint} /></label>
          <label>{words.after} <input {...field("after")} type="datetime-local" /></label>
          <label>{words.before} <input {...field("before")} type="datetime-local" /></label>
          {children}
        </div>
        <details open={RARE.some((name) => query.has(name))}>
          <summary>{words.more}</summary>
          <div className="fields">
            <label>{words.runningAt} <input {...field("at")} type="datetime-local" /></label>
            <label>{words.minMinutes} <input {...field("min")} type="number" min="0" step="any" /></label>
            <label>{words.maxMinutes} <input {...field("max")} type="number" min="0" step="any" /></label>
            <label>{words.desktopIds} <input {...field("desktopId")} placeholder={words.desktopIdsHint} /></label>
            <label>{words.pool} <input {...field("pool")} maxLength={255} /></label>
            <label>{words.policy} <input {...field("policy")} maxLength={255} /></label>
          </div>
        </details>
        <div className="row">
          <button type="submit" className="primary">{words.apply}</button>
          {query.size > 0 && (
            <button type="button" className="plain" onClick={() => apply(new URLSearchParams())}>{words.clear}</button>
          )}
        </div>
      </form>
    </details>
  );
}

interface ChoicesProps<Option extends string> {
  name: string;
  label: string;
  options: readonly Option[];
  words: Record<Option, string>;
  query: URLSearchParams;
}

/** Any number of values of a filter; none stands for all. */
function Choices<Option extends string>({ name, label, options, words, query }: ChoicesProps<Option>) {
  const chosen = query.get(name)?.split(",") ?? [];
  return (
    <fieldset className="choices">
      <legend>{label}</legend>
      {options.map((option) => (
        <label key={option}>
          <input type="checkbox" name={name} value={option} defaultChecked={chosen.includes(option)} />
          <span>{words[option]}</span>
        </label>
      ))}
    </fieldset>
  );
}
