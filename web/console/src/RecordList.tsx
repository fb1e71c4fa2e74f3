import { type FormEvent, useMemo, useState } from "react";
import { useQuery } from "urql";

import { Badge } from "./Badge.tsx";
import { ErrorNote } from "./ErrorNote.tsx";
import { distinct, problemsOf } from "./errors.ts";
import { Filters } from "./Filters.tsx";
import { filterOf } from "./filters.ts";
import { graphql } from "./gql/index.ts";
import type { ListQuery as ListData, OrderDirection } from "./gql/graphql.ts";
import { useWords } from "./language.tsx";
import { hrefOf, recordHref } from "./route.ts";

const PAGE = 25;

const ListQuery = graphql(`
  query List($projectId: ID!, $filter: ScreenRecordFilter, $orderBy: ScreenRecordOrder, $first: Int, $after: String) {
    screenRecords(projectId: $projectId, filter: $filter, orderBy: $orderBy, first: $first, after: $after) {
      totalCount
      pageInfo { hasNextPage endCursor }
      edges {
        cursor
        node { id projectId desktopName username status rawStatus type rawType startTime duration size }
      }
    }
  }
`);

type Connection = ListData["screenRecords"];
type Row = NonNullable<Connection["edges"][number]["node"]>;

/** A project's recordings, filtered and paged. */
export function RecordList({ projectId, query }: { projectId: string; query: URLSearchParams }) {
  const { texts } = useWords();
  const key = query.toString();
  const filter = useMemo(() => filterOf(new URLSearchParams(key)), [key]);
  return (
    <>
      <div className="heading">
        <h1>{texts.list.title}</h1>
        <OpenById />
      </div>
      <Filters query={query} apply={(changed) => (window.location.hash = hrefOf("recordings", changed))}>
        <label>
          {texts.filters.order}
          <select name="order" defaultValue={query.get("order") ?? ""}>
            <option value="">{texts.filters.newest}</option>
            <option value="ASC">{texts.filters.oldest}</option>
          </select>
        </label>
      </Filters>
      <Rows key={key} {...{ projectId, filter }} direction={query.get("order") === "ASC" ? "ASC" : "DESC"} />
    </>
  );
}

function OpenById() {
  const { texts } = useWords();
  const open = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const id = String(new FormData(event.currentTarget).get("id") ?? "").trim();
    if (id) window.location.hash = recordHref(id);
  };
  return (
    <form className="row" onSubmit={open} aria-label={texts.list.open}>
      <input name="id" aria-label={texts.list.openById} placeholder={texts.list.openById} maxLength={64} />
      <button type="submit">{texts.list.open}</button>
    </form>
  );
}

interface RowsProps {
  projectId: string;
  filter: ReturnType<typeof filterOf>;
  direction: OrderDirection;
}

function Rows({ projectId, filter, direction }: RowsProps) {
  const { texts, format } = useWords();
  const [after, setAfter] = useState<string | null>(null);
  const variables = { projectId, filter, orderBy: { direction }, first: PAGE, after };
  const [{ data, error, fetching }, ask] = useQuery({ query: ListQuery, variables });
  const list = data?.screenRecords;
  const total = list && (list.totalCount == null ? texts.unknownNumber : format.number(list.totalCount));
  return (
    <>
      {distinct(problemsOf(error)).map((problem) => (
        <ErrorNote key={problem.code} problem={problem} retry={() => ask({ requestPolicy: "network-only" })} />
      ))}
      <p role="status" className="total quiet">
        {list ? texts.list.shown(format.number(list.edges.length), total ?? "") : fetching ? texts.loading : ""}
      </p>
      {list && (list.edges.length > 0 ? <Table list={list} /> : <Empty />)}
      {list?.pageInfo.hasNextPage && (
        <p className="more">
          <button type="button" disabled={fetching} onClick={() => setAfter(list.pageInfo.endCursor ?? null)}>
            {fetching ? texts.loading : texts.list.more}
          </button>
        </p>
      )}
    </>
  );
}

function Empty() {
  const { texts } = useWords();
  return (
    <div className="empty card">
      <p>{texts.list.empty}</p>
      <p className="quiet">{texts.list.emptyHint}</p>
    </div>
  );
}

function Table({ list }: { list: Connection }) {
  const { texts } = useWords();
  const columns = texts.list.columns;
  return (
    <div className="scroll card" role="region" aria-label={texts.list.table} tabIndex={0}>
      {/* The roles stay where the style sheet takes the table's layout away. */}
      <table className="list" role="table">
        <thead role="rowgroup">
          <tr role="row">
            <th role="columnheader" scope="col">{columns.started}</th>
            <th role="columnheader" scope="col">{columns.desktop}</th>
            <th role="columnheader" scope="col">{columns.user}</th>
            <th role="columnheader" scope="col">{columns.status}</th>
            <th role="columnheader" scope="col" className="wide">{columns.type}</th>
            <th role="columnheader" scope="col" className="number">{columns.length}</th>
            <th role="columnheader" scope="col" className="number wide">{columns.size}</th>
          </tr>
        </thead>
        <tbody role="rowgroup">
          {list.edges.map(({ cursor, node }) =>
            node ? <RecordRow key={node.id} row={node} /> : (
              <tr key={cursor} role="row"><td role="cell" colSpan={7}>{texts.list.unreadable}</td></tr>
            ),
          )}
        </tbody>
      </table>
    </div>
  );
}

function RecordRow({ row }: { row: Row }) {
  const { texts, format } = useWords();
  const type = row.type === "UNKNOWN" ? row.rawType : row.type && texts.types[row.type];
  return (
    <tr role="row" data-record={row.id}>
      <td role="cell">
        <a href={recordHref(row.id)}>{row.startTime ? format.time(row.startTime) : row.id}</a>
      </td>
      <td role="cell">{row.desktopName ?? texts.none}</td>
      <td role="cell">{row.username ?? texts.none}</td>
      <td role="cell"><Badge record={row} /></td>
      <td role="cell" className="wide">{type ?? texts.none}</td>
      <td role="cell" className="number">{format.duration(row.duration)}</td>
      <td role="cell" className="number wide">{format.size(row.size)}</td>
    </tr>
  );
}
