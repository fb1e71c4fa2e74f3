import { type FormEvent, useState } from "react";
import { useQuery } from "urql";

import { ErrorNote } from "./ErrorNote.tsx";
import { told } from "./errors.ts";
import { duration, size, time, words } from "./format.ts";
import { graphql } from "./gql/index.ts";
import type { ScreenRecordFilter, ScreenRecordStatus, ScreenRecordType } from "./gql/graphql.ts";

const PAGE = 25;

const ListQuery = graphql(`
  query List($projectId: ID!, $filter: ScreenRecordFilter, $first: Int, $after: String) {
    screenRecords(projectId: $projectId, filter: $filter, first: $first, after: $after) {
      totalCount
      pageInfo { hasNextPage endCursor }
      edges {
        cursor
        node { id projectId desktopName username status rawStatus type startTime duration size }
      }
    }
  }
`);

const STATUSES: ScreenRecordStatus[] = [
  "RECORDING",
  "REC_COMPLETED",
  "REC_FAILED",
  "UPLOADING",
  "UPLOAD_COMPLETED",
  "UPLOAD_FAILED",
];
const TYPES: ScreenRecordType[] = ["FULL", "INTERVAL", "OPERATION", "SESSION"];

/** The filter that a form asks for; what is left empty is left out. */
function filterOf(form: FormData): ScreenRecordFilter {
  const text = (name: string) => String(form.get(name) ?? "").trim() || undefined;
  const instant = (name: string) => {
    const local = text(name);
    return local && new Date(local).toISOString();
  };
  const desktop = text("desktop");
  const given = {
    status: text("status") as ScreenRecordStatus | undefined,
    type: text("type") as ScreenRecordType | undefined,
    username: text("username"),
    desktopNames: desktop && desktop.split(",").map((name) => name.trim()),
    startedAfter: instant("after"),
    startedBefore: instant("before"),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

/** A project's recordings, narrowed and paged. */
export function RecordList({ projectId }: { projectId: string }) {
  const [filter, setFilter] = useState<ScreenRecordFilter>({});
  const [after, setAfter] = useState<string | null>(null);
  const variables = { projectId, filter, first: PAGE, after };
  const [{ data, error, fetching }, ask] = useQuery({ query: ListQuery, variables });
  const list = data?.screenRecords;

  const apply = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setAfter(null);
    setFilter(filterOf(new FormData(event.currentTarget)));
  };

  return (
    <main>
      <h1>Screen recordings</h1>
      <form className="filters" onSubmit={apply} aria-label="Filters">
        <label>
          Status
          <select name="status">
            <option value="">Any</option>
            {STATUSES.map((status) => (
              <option key={status} value={status}>{words(status)}</option>
            ))}
          </select>
        </label>
        <label>
          Type
          <select name="type">
            <option value="">Any</option>
            {TYPES.map((type) => (
              <option key={type} value={type}>{words(type)}</option>
            ))}
          </select>
        </label>
        <label>User <input name="username" maxLength={255} /></label>
        <label>Desktop <input name="desktop" placeholder="name, name" /></label>
        <label>Started after <input name="after" type="datetime-local" /></label>
        <label>Started before <input name="before" type="datetime-local" /></label>
        <button type="submit">Apply</button>
      </form>
      {told(error).map((failure, index) => (
        <ErrorNote key={index} error={failure} retry={() => ask({ requestPolicy: "network-only" })} />
      ))}
      <p role="status" aria-live="polite" className="total">
        {list ? `${list.edges.length} of ${list.totalCount ?? "an unknown number"} recordings` : fetching ? "Loading…" : ""}
      </p>
      {list && (
        <div className="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col">Started</th>
                <th scope="col">Desktop</th>
                <th scope="col">User</th>
                <th scope="col">Type</th>
                <th scope="col">Status</th>
                <th scope="col">Length</th>
                <th scope="col">Size</th>
              </tr>
            </thead>
            <tbody>
              {list.edges.map(({ cursor, node }) =>
                node ? (
                  <tr key={node.id} data-record={node.id}>
                    <td>
                      <a href={`#/records/${encodeURIComponent(node.id)}`}>{time(node.startTime)}</a>
                    </td>
                    <td>{node.desktopName ?? "–"}</td>
                    <td>{node.username ?? "–"}</td>
                    <td>{words(node.type)}</td>
                    <td data-status={node.status}>
                      <span className={`badge ${node.status}`}>
                        {words(node.status === "UNKNOWN" ? node.rawStatus : node.status)}
                      </span>
                    </td>
                    <td>{duration(node.duration)}</td>
                    <td>{size(node.size)}</td>
                  </tr>
                ) : (
                  <tr key={cursor}><td colSpan={7}>This row cannot be read.</td></tr>
                ),
              )}
            </tbody>
          </table>
        </div>
      )}
      {list?.pageInfo.hasNextPage && (
        <button type="button" disabled={fetching} onClick={() => setAfter(list.pageInfo.endCursor ?? null)}>
          Load more
        </button>
      )}
    </main>
  );
}
