import { useSyncExternalStore } from "react";

/** What the address shows, after `#`. */
export type Route =
  | { view: "overview"; query: URLSearchParams }
  | { view: "list"; query: URLSearchParams }
  | { view: "record"; id: string };

export function useRoute(): Route {
  const hash = useSyncExternalStore(subscribe, () => window.location.hash);
  return parse(hash);
}

function subscribe(changed: () => void): () => void {
  window.addEventListener("hashchange", changed);
  return () => window.removeEventListener("hashchange", changed);
}

function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const id = /^recordings\/(.+)$/.exec(path)?.[1];
  if (id) return { view: "record", id: decodeURIComponent(id) };
  const view = path === "recordings" ? "list" : "overview";
  return { view, query: new URLSearchParams(query) };
}

export function hrefOf(view: "overview" | "recordings", query: URLSearchParams): string {
  const text = query.toString();
  return `#/${view}${text && `?${text}`}`;
}

export function recordHref(id: string): string {
  return `#/recordings/${encodeURIComponent(id)}`;
}
