import type { CacheExchangeOpts } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";

/** How the normalised cache finds what it has seen. An id is unique within its project only. */
export const cache: Partial<CacheExchangeOpts> = {
  keys: {
    ScreenRecord: (record) => `${record.projectId}:${record.id}`,
    Desktop: (desktop) => `${desktop.id}`,
    DesktopOperation: (operation) => `${operation.id}`,
    ScreenRecordConnection: () => null,
    ScreenRecordEdge: () => null,
    DesktopOperationConnection: () => null,
    DesktopOperationEdge: () => null,
    PageInfo: () => null,
  },
  resolvers: {
    Query: { screenRecords: relayPagination() },
  },
};
