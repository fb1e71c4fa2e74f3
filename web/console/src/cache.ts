import type { CacheExchangeOpts } from "@urql/exchange-graphcache";
import { relayPagination } from "@urql/exchange-graphcache/extras";

const WITHOUT_KEY = [
  "ScreenRecordConnection",
  "ScreenRecordEdge",
  "DesktopOperationConnection",
  "DesktopOperationEdge",
  "DownloadLink",
  "PageInfo",
  "ScreenRecordChange",
  "ScreenRecordStatistics",
  "ScreenRecordStatisticsGroup",
];

/** How the normalised cache finds what it has seen. An id is unique within its project only. */
export const cache: Partial<CacheExchangeOpts> = {
  keys: {
    ...Object.fromEntries(WITHOUT_KEY.map((type) => [type, () => null])),
    ScreenRecord: (record) => `${record.projectId}:${record.id}`,
  },
  resolvers: {
    ScreenRecord: { operations: relayPagination() },
  },
};
