import { useState } from "react";

import { duration, time, words } from "./format.ts";
import type { DesktopOperationType, RecordQuery } from "./gql/graphql.ts";

type Record = NonNullable<RecordQuery["screenRecord"]>;
type Operation = NonNullable<NonNullable<Record["operations"]>["nodes"][number]>;

const KINDS: DesktopOperationType[] = ["APP", "FILE", "REG", "HDP"];
const KIND_NAMES: { [kind in DesktopOperationType]: string } = {
  APP: "Applications",
  FILE: "Files",
  REG: "Registry",
  HDP: "Desktop protocol",
  UNKNOWN: "Other",
};

interface Props {
  operations: NonNullable<Record["operations"]>;
  /** Seconds of video, where they are known. */
  length: number | null | undefined;
  /** Goes to a second of the video. */
  seek: (seconds: number) => void;
}

/** What happened during a recording, over its length and as a list. */
export function Timeline({ operations, length, seek }: Props) {
  const [kind, setKind] = useState<DesktopOperationType | "">("");
  const all = operations.nodes.filter((node): node is Operation => node != null);
  const shown = all.filter((operation) => !kind || operation.type === kind);
  const end = Math.max(length ?? 0, ...all.map((operation) => operation.offset ?? 0), 1);
  return (
    <section aria-labelledby="operations">
      <h2 id="operations">Operations</h2>
      <label>
        Show{" "}
        <select value={kind} onChange={(event) => setKind(event.target.value as DesktopOperationType | "")}>
          <option value="">everything</option>
          {KINDS.map((option) => (
            <option key={option} value={option}>{KIND_NAMES[option]}</option>
          ))}
        </select>
      </label>{" "}
      <span className="small">{shown.length} of {operations.totalCount ?? "an unknown number"}</span>
      <div className="timeline" role="group" aria-label="Time line">
        {shown.map((operation) => (
          <button
            key={operation.id}
            type="button"
            className={`mark ${operation.level}`}
            style={{ left: `${(100 * (operation.offset ?? 0)) / end}%` }}
            title={`${duration(operation.offset)} ${operation.event}: ${operation.data}`}
            aria-label={`${duration(operation.offset)} ${operation.event}`}
            onClick={() => seek(operation.offset ?? 0)}
          />
        ))}
      </div>
      <ol className="operations">
        {shown.map((operation) => (
          <li key={operation.id} className={operation.level ?? ""}>
            <time dateTime={operation.time ?? undefined} title={time(operation.time)}>
              {duration(operation.offset)}
            </time>{" "}
            <strong>{operation.event ?? words(operation.type)}</strong> {operation.data}
          </li>
        ))}
      </ol>
    </section>
  );
}
