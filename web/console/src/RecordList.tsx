import { type FormEvent, useMemo, useState } from "react";

import { Badge } from "./Badge.tsx";
import { ErrorNote } from "./ErrorNote.tsx";
import { distinct } from "./errors.ts";
import { Filters } from "./Filters.tsx";
import { filterOf } from "./filters.ts";
import { useWords } from "./language.tsx";
import { LiveState } from "./LiveState.tsx";
import { type ListOf, type Row, useRecordList } from "./recordList.ts";
import { hrefOf, recordHref } from "./route.ts";

/** On a narrow screen the filters would hide the list. */
const WIDE = window.matchMedia("(min-width: 60rem)");

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
      <Filters
        isOpen={WIDE.matches} query={query}
        apply={(changed) => (window.location.hash = hrefOf("recordings", changed))}
      >
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

function Rows({ projectId, filter, direction }: Omit<ListOf, "isLive">) {
  const { texts, format } = useWords();
  const [isLive, setIsLive] = useState(true);
  const list = useRecordList({ projectId, filter, direction, isLive });
  const { edges, totalCount, isLoading } = list;
  const total = totalCount == null ? texts.unknownNumber : format.number(totalCount);
  return (
    <>
      {distinct(list.problems).map((problem) => (
        <ErrorNote key={problem.code} problem={problem} retry={list.reload} />
      ))}
      <div className="heading">
        <p role="status" className="total quiet">
          {edges ? texts.list.shown(format.number(edges.length), total) : isLoading ? texts.loading : ""}
        </p>
        <div className="row">
          {isLive && !list.liveProblem && <LiveState />}
          <label className="inline">
            <input type="checkbox" checked={isLive} onChange={(event) => setIsLive(event.target.checked)} />
            {texts.live.toggle}
          </label>
        </div>
      </div>
      {isLive && list.liveProblem && list.problems.length === 0 && <ErrorNote problem={list.liveProblem} />}
      {isLive && <News fresh={list.freshCount} gone={list.goneCount} reload={list.reload} />}
      {edges && (edges.length > 0 ? <Table edges={edges} /> : <Empty />)}
      {list.pageInfo.hasNextPage && (
        <p className="more">
          <button type="button" disabled={isLoading} onClick={list.loadMore}>
            {isLoading ? texts.loading : texts.list.more}
          </button>
        </p>
      )}
    </>
  );
}

/** What has come into the list and left it since it was loaded. Rows move only when the reader asks for it. */
function News({ fresh, gone, reload }: { fresh: number; gone: number; reload: () => void }) {
  const { texts } = useWords();
  const news = [fresh > 0 && texts.live.fresh(fresh), gone > 0 && texts.live.gone(gone)].filter(Boolean);
  return (
    <div role="status" className="news">
      {news.length > 0 && (
        <p className="notice row">
          {news.join(" · ")}
          <button type="button" className="end" onClick={reload}>{texts.live.show}</button>
        </p>
      )}
    </div>
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

function Table({ edges }: { edges: NonNullable<ReturnType<typeof useRecordList>["edges"]> }) {
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
          {edges.map(({ cursor, node }) =>
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
