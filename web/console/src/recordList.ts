import { useCallback, useEffect, useReducer } from "react";
import { useClient } from "urql";

import { type Problem, problemsOf } from "./errors.ts";
import type { filterOf } from "./filters.ts";
import { graphql } from "./gql/index.ts";
import type { ListQuery as ListData, OrderDirection } from "./gql/graphql.ts";

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

type Page = ListData["screenRecords"];
type Edge = Page["edges"][number];
export type Row = NonNullable<Edge["node"]>;

interface ListState {
  edges: Edge[] | undefined;
  totalCount: number | null | undefined;
  pageInfo: Page["pageInfo"];
  isLoading: boolean;
  problems: Problem[];
}

const EMPTY: ListState = {
  edges: undefined,
  totalCount: undefined,
  pageInfo: { hasNextPage: false, endCursor: null },
  isLoading: true,
  problems: [],
};

type Action =
  | { type: "asked" }
  | { type: "answered"; page: Page | undefined; after: string | null; problems: Problem[] };

function reduce(state: ListState, action: Action): ListState {
  switch (action.type) {
    case "asked":
      return { ...state, isLoading: true };
    case "answered":
      return answered(state, action);
  }
}

function answered(state: ListState, { page, after, problems }: Extract<Action, { type: "answered" }>): ListState {
  if (!page) return { ...state, isLoading: false, problems };
  const { edges, pageInfo, totalCount } = page;
  const isFirst = after === null;
  return {
    ...state, pageInfo, totalCount, problems, isLoading: false,
    edges: isFirst ? edges : [...(state.edges ?? []), ...edges],
  };
}

export interface ListOf {
  projectId: string;
  filter: ReturnType<typeof filterOf>;
  direction: OrderDirection;
}

/** A list of recordings, page after page. */
export function useRecordList({ projectId, filter, direction }: ListOf) {
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
  return {
    ...state,
    loadMore: () => load(state.pageInfo.endCursor ?? null),
    reload: () => load(null),
  };
}
