import { type ReactNode, useEffect, useMemo, useState } from "react";
import { useQuery } from "urql";

import { Chart } from "./Chart.tsx";
import { ErrorNote } from "./ErrorNote.tsx";
import { distinct, problemsOf } from "./errors.ts";
import { Filters } from "./Filters.tsx";
import { dayQuery, filterOf } from "./filters.ts";
import { graphql } from "./gql/index.ts";
import type { ScreenRecordGroup, ScreenRecordStatus } from "./gql/graphql.ts";
import { useWords } from "./language.tsx";
import { hrefOf } from "./route.ts";
import { daysOf, type Group, largest, type Measure, MEASURES, STATUS_COLORS, statusesOf, sum } from "./statistics.ts";

const BUSIEST = 8;

const StatisticsQuery = graphql(`
  query Statistics($projectId: ID!, $filter: ScreenRecordFilter, $groupBy: [ScreenRecordGroup!], $timeZone: String) {
    screenRecordStatistics(projectId: $projectId, filter: $filter, groupBy: $groupBy, timeZone: $timeZone) {
      scanned
      isComplete
      groups { time username desktopId status type count seconds bytes }
    }
  }
`);

/** Desktops are grouped by id; their names are those of recent recordings. */
const NamesQuery = graphql(`
  query Names($projectId: ID!, $filter: ScreenRecordFilter) {
    screenRecords(projectId: $projectId, filter: $filter, first: 500) { edges { node { id projectId desktopId desktopName } } }
  }
`);

interface Scope {
  projectId: string;
  filter: ReturnType<typeof filterOf>;
  query: URLSearchParams;
}

/** A project's recordings in numbers. */
export function Overview({ projectId, query }: { projectId: string; query: URLSearchParams }) {
  const { texts } = useWords();
  const key = query.toString();
  const scope = useMemo(() => {
    const query = new URLSearchParams(key);
    return { projectId, filter: filterOf(query), query };
  }, [projectId, key]);
  return (
    <>
      <h1>{texts.overview.title}</h1>
      <Filters isOpen={false} query={query} apply={(changed) => (window.location.hash = hrefOf("overview", changed))} />
      <Numbers key={key} scope={scope} />
    </>
  );
}

function useStatistics({ projectId, filter }: Scope, groupBy: ScreenRecordGroup[]) {
  const { format } = useWords();
  const variables = { projectId, filter, groupBy, timeZone: format.zone };
  // Each question is an operation of its own, so that each may read as many rows as the gateway allows.
  const [{ data, error, fetching, stale }, ask] = useQuery({
    query: StatisticsQuery, variables, requestPolicy: "cache-and-network",
  });
  return {
    statistics: data?.screenRecordStatistics,
    problems: distinct(problemsOf(error)),
    isLoading: fetching || stale,
    load: () => ask({ requestPolicy: "network-only" }),
  };
}

function Numbers({ scope }: { scope: Scope }) {
  const { texts, format } = useWords();
  const [measure, setMeasure] = useState<Measure>("count");
  const days = useStatistics(scope, DAYS);
  const users = useStatistics(scope, USERS);
  const desktops = useStatistics(scope, DESKTOPS);
  const all = [days, users, desktops];
  const problems = distinct(all.flatMap((part) => part.problems));
  const retry = () => {
    for (const part of all) if (part.problems.length > 0) part.load();
  };
  const refresh = () => {
    for (const part of all) part.load();
  };
  const groups = days.statistics?.groups;
  return (
    <>
      {problems.map((problem) => <ErrorNote key={problem.code} problem={problem} retry={retry} />)}
      {groups && <Refresh isLoading={all.some(({ isLoading }) => isLoading)} isCurrent={problems.length === 0} refresh={refresh} />}
      {!groups && days.isLoading && <p role="status" className="quiet">{texts.loading}</p>}
      {groups && groups.length === 0 && <p className="empty card" role="status">{texts.overview.empty}</p>}
      {groups && groups.length > 0 && (
        <>
          {days.statistics && !days.statistics.isComplete && (
            <p className="notice" role="status">{texts.overview.incomplete(format.number(days.statistics.scanned))}</p>
          )}
          <Tiles groups={groups} scope={scope} />
          <MeasureChoice measure={measure} choose={setMeasure} />
          <div className="charts">
            <Days groups={groups} measure={measure} scope={scope} />
            <Statuses groups={groups} measure={measure} scope={scope} />
            {users.statistics && <Users groups={users.statistics.groups} measure={measure} scope={scope} />}
            {desktops.statistics && <Desktops groups={desktops.statistics.groups} measure={measure} scope={scope} />}
          </div>
        </>
      )}
    </>
  );
}

/** When the numbers were read. They are read again when the page is opened, and on request. */
function Refresh({ isLoading, isCurrent, refresh }: { isLoading: boolean; isCurrent: boolean; refresh: () => void }) {
  const { texts, format } = useWords();
  const [readAt, setReadAt] = useState<string>();
  useEffect(() => {
    if (!isLoading && isCurrent) setReadAt(new Date().toISOString());
  }, [isLoading, isCurrent]);
  return (
    <p className="quiet small">
      <span role="status">{isLoading || !readAt ? texts.loading : texts.overview.readAt(format.clock(readAt))}</span>{" "}
      <button type="button" className="plain" disabled={isLoading} onClick={refresh}>{texts.overview.refresh}</button>
    </p>
  );
}

const DAYS: ScreenRecordGroup[] = ["DAY", "STATUS"];
const USERS: ScreenRecordGroup[] = ["USERNAME"];
const DESKTOPS: ScreenRecordGroup[] = ["DESKTOP"];

function Tiles({ groups, scope }: { groups: Group[]; scope: Scope }) {
  const { texts, format } = useWords();
  const words = texts.overview;
  const total = sum(groups);
  const of = (...statuses: ScreenRecordStatus[]) =>
    sum(groups.filter(({ status }) => status && statuses.includes(status))).count;
  const failed = of("REC_FAILED", "UPLOAD_FAILED");
  const listOf = (statuses: string) => hrefOf("recordings", withValue(scope.query, "status", statuses));
  return (
    <dl className="tiles">
      <Tile name={words.recordings}><a href={hrefOf("recordings", scope.query)}>{format.number(total.count)}</a></Tile>
      <Tile name={words.hours}>{format.number(total.seconds / 3600, 1)}</Tile>
      <Tile name={words.size}>{format.size(total.bytes)}</Tile>
      <Tile name={words.running}><a href={listOf("RECORDING")}>{format.number(of("RECORDING"))}</a></Tile>
      <Tile name={words.failed} note={words.failedOf(format.share(failed / Math.max(total.count, 1)))}>
        <a href={listOf("REC_FAILED,UPLOAD_FAILED")}>{format.number(failed)}</a>
      </Tile>
    </dl>
  );
}

function Tile({ name, note, children }: { name: string; note?: string; children: ReactNode }) {
  return (
    <div className="card tile">
      <dt>{name}</dt>
      <dd>{children} {note && <span className="quiet small">{note}</span>}</dd>
    </div>
  );
}

function MeasureChoice({ measure, choose }: { measure: Measure; choose: (measure: Measure) => void }) {
  const { texts } = useWords();
  return (
    <fieldset className="choice">
      <legend className="hidden">{texts.overview.measure}</legend>
      {MEASURES.map((one) => (
        <label key={one}>
          <input type="radio" name="measure" checked={one === measure} onChange={() => choose(one)} />
          <span>{texts.overview[one]}</span>
        </label>
      ))}
    </fieldset>
  );
}

interface PartProps {
  groups: Group[];
  measure: Measure;
  scope: Scope;
}

/** Writes a value of a measure. Bars show hours, not seconds, so that their axis has round numbers. */
function useMeasure(measure: Measure) {
  const { format } = useWords();
  return useMemo(() => {
    const value = (sums: Record<Measure, number>) => (measure === "seconds" ? sums.seconds / 3600 : sums[measure]);
    const write = (number: number) => (measure === "bytes" ? format.size(number) : format.number(number, 1));
    return { value, write };
  }, [format, measure]);
}

function Days({ groups, measure, scope }: PartProps) {
  const { texts, format } = useWords();
  const { value, write } = useMeasure(measure);
  const { days, labels, series } = useMemo(() => {
    const days = daysOf(groups);
    const at = new Map(days.map((day, index) => [day, index]));
    const series = statusesOf(groups).map((status) => {
      const values = days.map(() => 0);
      for (const group of groups) {
        const index = group.time ? at.get(new Date(group.time).toISOString()) : undefined;
        if (index !== undefined && (group.status ?? "UNKNOWN") === status) values[index] = value(group);
      }
      return { label: texts.statuses[status], values, color: STATUS_COLORS[status] };
    });
    return { days, labels: days.map((day) => format.day(day)), series };
  }, [groups, value, texts, format]);
  const hrefAt = (index: number) => hrefOf("recordings", dayQuery(scope.query, days[index] ?? ""));
  const head = [texts.overview.day, ...series.map(({ label }) => label)];
  return (
    <Chart
      title={texts.overview.byDay} kind="days" format={write} {...{ labels, series }}
      open={(index) => (window.location.hash = hrefAt(index))}
      table={
        <NumberTable
          head={head}
          rows={labels.map((label, index) => ({
            label, href: hrefAt(index), values: series.map(({ values }) => write(values[index] ?? 0)),
          }))}
        />
      }
    >
      <span className="quiet small">{texts.overview.zone(format.zone)}</span>
    </Chart>
  );
}

function Statuses({ groups, measure, scope }: PartProps) {
  const { texts } = useWords();
  const statuses = useMemo(() => statusesOf(groups), [groups]);
  const { value } = useMeasure(measure);
  const parts = useMemo(
    () =>
      statuses.map((status) => ({
        label: texts.statuses[status],
        value: value(sum(groups.filter((group) => (group.status ?? "UNKNOWN") === status))),
        color: STATUS_COLORS[status],
        query: withValue(scope.query, "status", status),
      })),
    [statuses, groups, value, texts, scope],
  );
  return <Ranking title={texts.overview.byStatus} kind="shares" column={texts.filters.status} {...{ parts, measure }} />;
}

function Users({ groups, measure, scope }: PartProps) {
  const { texts } = useWords();
  const { value } = useMeasure(measure);
  const parts = useMemo(
    () =>
      largest(groups, measure, BUSIEST).map((group) => ({
        label: group.username ?? texts.overview.unknown,
        value: value(group),
        color: "chart-recording",
        query: group.username ? withValue(scope.query, "user", group.username) : scope.query,
      })),
    [groups, measure, value, texts, scope],
  );
  return <Ranking title={texts.overview.busiestUsers} kind="ranking" column={texts.filters.user} {...{ parts, measure }} />;
}

function Desktops({ groups, measure, scope }: PartProps) {
  const { texts } = useWords();
  const { value } = useMeasure(measure);
  const { projectId, filter } = scope;
  const [{ data }] = useQuery({ query: NamesQuery, variables: { projectId, filter } });
  const parts = useMemo(() => {
    const names = new Map(data?.screenRecords.edges.map(({ node }) => [node?.desktopId, node?.desktopName]));
    return largest(groups, measure, BUSIEST).map((group) => ({
      label: names.get(group.desktopId) ?? group.desktopId ?? texts.overview.unknown,
      value: value(group),
      color: "chart-recorded",
      query: group.desktopId ? withValue(scope.query, "desktopId", group.desktopId) : scope.query,
    }));
  }, [data, groups, measure, value, texts, scope]);
  return <Ranking title={texts.overview.busiestDesktops} kind="ranking" column={texts.list.columns.desktop} {...{ parts, measure }} />;
}

interface RankingProps {
  title: string;
  kind: "ranking" | "shares";
  /** What the parts are. */
  column: string;
  measure: Measure;
  parts: { label: string; value: number; color: string; query: URLSearchParams }[];
}

function Ranking({ title, kind, column, measure, parts }: RankingProps) {
  const { texts } = useWords();
  const { write } = useMeasure(measure);
  const words = texts.overview[measure];
  const { labels, series } = useMemo(() => {
    const values = parts.map((part) => part.value);
    const color = parts.map((part) => part.color);
    return { labels: parts.map((part) => part.label), series: [{ label: words, values, color }] };
  }, [parts, words]);
  const hrefAt = (index: number) => hrefOf("recordings", parts[index]?.query ?? new URLSearchParams());
  return (
    <Chart
      {...{ title, kind, labels, series }} format={write}
      open={(index) => (window.location.hash = hrefAt(index))}
      table={
        <NumberTable
          head={[column, words]}
          rows={parts.map(({ label, value }, index) => ({ label, href: hrefAt(index), values: [write(value)] }))}
        />
      }
    />
  );
}

interface TableProps {
  head: string[];
  rows: { label: string; href: string; values: string[] }[];
}

function NumberTable({ head: [first, ...others], rows }: TableProps) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{first}</th>
          {others.map((name) => <th key={name} scope="col" className="number">{name}</th>)}
        </tr>
      </thead>
      <tbody>
        {rows.map(({ label, href, values }) => (
          <tr key={href}>
            <th scope="row"><a href={href}>{label}</a></th>
            {values.map((value, index) => <td key={others[index]} className="number">{value}</td>)}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The filters with another value of one of them. */
function withValue(query: URLSearchParams, name: string, value: string): URLSearchParams {
  const changed = new URLSearchParams(query);
  changed.set(name, value);
  return changed;
}
