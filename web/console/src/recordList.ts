import { useCallback, useEffect, useReducer } from "react";
import { useClient } from "urql";

import { type Problem, problemsOf } from "./errors.ts";
import type { filterOf } from "./filters.ts";
import { graphql } from "./gql/index.ts";
import type { ListChangesSubscription, ListQuery as ListData, OrderDirection } from "./gql/graphql.ts";

const PAGE = 25;
/** Changes that arrive together are shown together: a list begins with one for each of its rows. */
const GATHER_MS = 100;

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

const ListChanges = graphql(`
  subscription ListChanges($projectId: ID!, $filter: ScreenRecordFilter) {
    screenRecords(projectId: $projectId, filter: $filter) {
      kind
      id
      record { id projectId desktopName username status rawStatus type rawType startTime duration size }
    }
  }
`);

type Page = ListData["screenRecords"];
type Edge = Page["edges"][number];
type Change = ListChangesSubscription["screenRecords"];
export type Row = NonNullable<Edge["node"]>;

interface ListState {
  edges: Edge[] | undefined;
  totalCount: number | null | undefined;
  pageInfo: Page["pageInfo"];
  isLoading: boolean;
  problems: Problem[];
  /** Live updates have ended with an error. */
  liveProblem: Problem | undefined;
  /** When the recordings began that live updates tell of, by id. */
  present: ReadonlyMap<string, string>;
  /** Ids of rows that have left the list. */
  gone: ReadonlySet<string>;
}

const EMPTY: ListState = {
  edges: undefined,
  totalCount: undefined,
  pageInfo: { hasNextPage: false, endCursor: null },
  isLoading: true,
  problems: [],
  liveProblem: undefined,
  present: new Map(),
  gone: new Set(),
};

type Action =
  | { type: "asked" }
  | { type: "answered"; page: Page | undefined; after: string | null; problems: Problem[] }
  | { type: "changed"; changes: Change[] }
  | { type: "liveEnded"; problem: Problem | undefined };

function reduce(state: ListState, action: Action): ListState {
  switch (action.type) {
    case "asked":
      return { ...state, isLoading: true };
    case "answered":
      return answered(state, action);
    case "changed":
      return changed(state, action.changes);
    case "liveEnded":
      return { ...state, liveProblem: action.problem };
  }
}

function answered(state: ListState, { page, after, problems }: Extract<Action, { type: "answered" }>): ListState {
  if (!page) return { ...state, isLoading: false, problems };
  const { edges, pageInfo, totalCount } = page;
  const isFirst = after === null;
  return {
    ...state, pageInfo, totalCount, problems, isLoading: false,
    edges: isFirst ? edges : [...(state.edges ?? []), ...edges],
    gone: isFirst ? new Set() : state.gone,
  };
}

function changed(state: ListState, changes: Change[]): ListState {
  const present = new Map(state.present);
  const gone = new Set(state.gone);
  const newest = new Map<string, Row>();
  for (const { kind, id, record } of changes) {
    if (kind === "REMOVED") {
      present.delete(id);
      gone.add(id);
    } else {
      present.set(id, record?.startTime ?? "");
      gone.delete(id);
      if (record) newest.set(id, record);
    }
  }
  const edges = state.edges?.map((edge) => {
    const node = edge.node && newest.get(edge.node.id);
    return node ? { ...edge, node } : edge;
  });
  return { ...state, present, gone, edges };
}

export interface ListOf {
  projectId: string;
  filter: ReturnType<typeof filterOf>;
  direction: OrderDirection;
  isLive: boolean;
}

/** A list of recordings, page after page, kept up to date by the gateway's subscription. */
export function useRecordList({ projectId, filter, direction, isLive }: ListOf) {
  const client = useClient();
  const [state, dispatch] = useReducer(reduce, EMPTY);
  const load = useCallback(
    async (after: string | null) => {
      dispatch({ type: "asked" });
      const variables = { projectId, filter, orderBy: { direction }, first: PAGE, after };
      const { data, error } = await client.query(ListQuery, variables, { requestPolicy: "network-only" });
      dispatch({ type: "answered", page: data?.screenRecords, after, problems: problemsOf(error) });
    },
    [client, projectId, filter, direction],
  );
  useEffect(() => void load(null), [load]);
  useEffect(() => {
    if (!isLive) return;
    let gathered: Change[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = () => {
      timer = undefined;
      dispatch({ type: "changed", changes: gathered });
      gathered = [];
    };
    const { unsubscribe } = client.subscription(ListChanges, { projectId, filter }).subscribe(({ data, error }) => {
      dispatch({ type: "liveEnded", problem: problemsOf(error)[0] });
      if (!data) return;
      gathered.push(data.screenRecords);
      timer ??= setTimeout(show, GATHER_MS);
    });
    return () => {
      clearTimeout(timer);
      unsubscribe();
    };
  }, [client, projectId, filter, isLive]);
  return {
    ...state,
    ...missing(state, direction),
    loadMore: () => load(state.pageInfo.endCursor ?? null),
    reload: () => load(null),
  };
}

/** How the rows that are shown differ from the list as it is now. */
function missing({ edges, present, gone, pageInfo }: ListState, direction: OrderDirection) {
  const shown = new Set(edges?.map(({ node }) => node?.id));
  const last = edges?.at(-1)?.node?.startTime ?? "";
  // Rows that come after the last one are on a page that has not been loaded.
  const isAbove = (start: string) => (direction === "DESC" ? start > last : start < last);
  const isInRange = (start: string) => !pageInfo.hasNextPage || isAbove(start);
  return {
    freshCount: edges ? [...present].filter(([id, start]) => !shown.has(id) && isInRange(start)).length : 0,
    goneCount: [...gone].filter((id) => shown.has(id)).length,
  };
}
