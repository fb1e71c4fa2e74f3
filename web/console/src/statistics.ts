import { STATUSES } from "./filters.ts";
import type { ScreenRecordStatus, StatisticsQuery } from "./gql/graphql.ts";

type Statistics = NonNullable<StatisticsQuery["screenRecordStatistics"]>;
export type Group = Statistics["groups"][number];

export const MEASURES = ["count", "seconds", "bytes"] as const;
export type Measure = (typeof MEASURES)[number];

export type Sums = Record<Measure, number>;

export function sum(groups: Group[]): Sums {
  const total = (measure: Measure) => groups.reduce((all, group) => all + group[measure], 0);
  return { count: total("count"), seconds: total("seconds"), bytes: total("bytes") };
}

/** The colour of each status in the style sheet. */
export const STATUS_COLORS: Record<ScreenRecordStatus, string> = {
  RECORDING: "chart-recording",
  REC_COMPLETED: "chart-recorded",
  UPLOADING: "chart-uploading",
  UPLOAD_COMPLETED: "chart-good",
  REC_FAILED: "chart-bad",
  UPLOAD_FAILED: "chart-warn",
  UNKNOWN: "chart-unknown",
};

/** The statuses that occur, in the order of a recording's life. */
export function statusesOf(groups: Group[]): ScreenRecordStatus[] {
  const all: ScreenRecordStatus[] = [...STATUSES, "UNKNOWN"];
  return all.filter((status) => groups.some((group) => (group.status ?? "UNKNOWN") === status));
}

/** Every day from the first to the last one that has recordings, as instants. */
export function daysOf(groups: Group[]): string[] {
  const times = groups.flatMap(({ time }) => (time ? [new Date(time).getTime()] : []));
  if (times.length === 0) return [];
  const last = Math.max(...times);
  const days = [];
  const day = new Date(Math.min(...times));
  // The statistics are grouped in the viewer's zone, whose days `setDate` counts.
  for (; day.getTime() <= last && days.length < 1000; day.setDate(day.getDate() + 1)) {
    days.push(day.toISOString());
  }
  return days;
}

/** The largest groups, by a measure. */
export function largest(groups: Group[], measure: Measure, count: number): Group[] {
  return [...groups].sort((one, other) => other[measure] - one[measure]).slice(0, count);
}
