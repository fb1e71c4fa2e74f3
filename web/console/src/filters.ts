import type { ScreenRecordFilter } from "./gql/graphql.ts";

export const STATUSES = [
  "RECORDING", "REC_COMPLETED", "UPLOADING", "UPLOAD_COMPLETED", "REC_FAILED", "UPLOAD_FAILED",
] as const;
export const TYPES = ["FULL", "INTERVAL", "OPERATION", "SESSION"] as const;

/** The filters that are shown only on request, as they are called in the address. */
export const RARE = ["at", "desktopId", "pool", "policy", "min", "max"];

/** The filter that the address holds. What is left empty is left out. */
export function filterOf(query: URLSearchParams): ScreenRecordFilter {
  const text = (name: string) => query.get(name)?.trim() || undefined;
  const list = (name: string) => text(name)?.split(/[,，]/).map((part) => part.trim()).filter(Boolean);
  const instant = (name: string) => instantOf(text(name));
  const seconds = (name: string) => (text(name) ? Math.round(Number(text(name)) * 60) : undefined);
  const users = list("user");
  const given = {
    statuses: list("status"),
    types: list("type"),
    // The service filters by one name itself, which reads fewer rows.
    username: users?.length === 1 ? users[0] : undefined,
    usernames: users && users.length > 1 ? users : undefined,
    desktopNames: list("desktop"),
    desktopIds: list("desktopId"),
    desktopPoolId: text("pool"),
    policyId: text("policy"),
    startedAfter: instant("after"),
    startedBefore: instant("before"),
    runningAt: instant("at"),
    minDuration: seconds("min"),
    maxDuration: seconds("max"),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** A date and time of day in the viewer's zone, as an instant. */
function instantOf(local: string | undefined): string | undefined {
  const date = new Date(local ?? "");
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** The filters that a form holds, as they stand in the address. Several values of a name become a list. */
export function queryOf(form: FormData): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of new Set(form.keys())) {
    const values = form.getAll(name).map((value) => String(value).trim()).filter(Boolean);
    if (values.length > 0) query.set(name, values.join(","));
  }
  return query;
}

/** The filters, narrowed to the recordings that began on a day. */
export function dayQuery(query: URLSearchParams, day: string): URLSearchParams {
  const start = new Date(day);
  const end = new Date(start);
  end.setDate(end.getDate() + 1);
  end.setMinutes(end.getMinutes() - 1);
  const narrowed = new URLSearchParams(query);
  narrowed.set("after", localTime(start));
  narrowed.set("before", localTime(end));
  return narrowed;
}

/** As a form field of date and time writes it: in the viewer's zone, without naming it. */
function localTime(date: Date): string {
  const two = (part: number) => String(part).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}`;
}
