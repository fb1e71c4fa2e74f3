import type { ScreenRecordStatus } from "./gql/graphql.ts";
import { useWords } from "./language.tsx";

interface Props {
  record: { status?: ScreenRecordStatus | null; rawStatus?: string | null };
}

/** The status of a recording; one that the gateway does not know reads as the service wrote it. */
export function Badge({ record: { status, rawStatus } }: Props) {
  const { texts } = useWords();
  if (!status) return <>{texts.none}</>;
  const words = status === "UNKNOWN" ? (rawStatus ?? texts.statuses.UNKNOWN) : texts.statuses[status];
  return <span className={`badge ${status}`} data-status={status}>{words}</span>;
}
