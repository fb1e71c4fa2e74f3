import type { ScreenRecordFilter } from "./gql/graphql.ts";

export const STATUSES = [
  "RECORDING", "REC_COMPLETED", "UPLOADING", "UPLOAD_COMPLETED", "REC_FAILED", "UPLOAD_FAILED",
] as const;
export const TYPES = ["FULL", "INTERVAL", "OPERATION", "SESSION"] as const;

/** The names of filters in the address. What is left empty is left out. */
export function filterOf(query: URLSearchParams): ScreenRecordFilter {
  const text = (name: string) => query.get(name)?.trim() || undefined;
  const list = (name: string) =>
    text(name)?.split(/[,，]/).map((part) => part.trim()).filter(Boolean);
  const instant = (name: string) => instantOf(text(name));
  const given = {
    status: text("status"),
    type: text("type"),
    username: text("user"),
    desktopNames: list("desktop"),
    startedAfter: instant("after"),
    startedBefore: instant("before"),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** A time of day in the viewer's zone, as an instant. */
function instantOf(local: string | undefined): string | undefined {
  const date = new Date(local ?? "");
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** The filters that a form holds, as they stand in the address. */
export function queryOf(form: FormData): URLSearchParams {
  const query = new URLSearchParams();
  for (const [name, value] of form) {
    if (typeof value === "string" && value.trim()) query.append(name, value.trim());
  }
  return query;
}
