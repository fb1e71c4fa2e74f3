import { type KeyboardEvent, type MouseEvent, useId, useRef, useState } from "react";

import type { DesktopOperationType, RecordQuery } from "./gql/graphql.ts";
import { useWords } from "./language.tsx";

type Connection = NonNullable<NonNullable<RecordQuery["screenRecord"]>["operations"]>;
type Operation = NonNullable<NonNullable<Connection["edges"][number]>["node"]>;

const KINDS: DesktopOperationType[] = ["APP", "FILE", "REG", "HDP"];

interface Props {
  operations: Connection;
  /** Length of the video in seconds, where it is known. */
  length: number | null | undefined;
  /** Where the video is, in seconds. */
  position: number;
  /** Goes to a second of the video. */
  seek: (seconds: number) => void;
  /** Loads further operations. */
  loadMore: () => void;
}

/** What happened during a recording: marks over its length, and a list. */
export function Timeline({ operations, length, position, seek, loadMore }: Props) {
  const { texts, format } = useWords();
  const words = texts.timeline;
  const [kind, setKind] = useState<DesktopOperationType | "">("");
  const all = operations.edges.map(({ node }) => node).filter((node): node is Operation => node != null);
  const shown = all.filter((operation) => !kind || operation.type === kind);
  const end = Math.max(length ?? 0, ...all.map((operation) => operation.offset ?? 0), 1);
  const total = operations.totalCount == null ? texts.unknownNumber : format.number(operations.totalCount);
  return (
    <section className="card timeline" aria-labelledby="operations">
      <div className="heading">
        <h2 id="operations">{words.title}</h2>
        <span className="quiet small" role="status">{words.shown(format.number(shown.length), total)}</span>
        <label className="inline">
          {words.show}
          <select value={kind} onChange={(event) => setKind(event.target.value as DesktopOperationType | "")}>
            <option value="">{words.everything}</option>
            {KINDS.map((option) => <option key={option} value={option}>{texts.kinds[option]}</option>)}
          </select>
        </label>
      </div>
      <Strip operations={shown} {...{ end, position, seek }} />
      {all.length === 0 && <p className="quiet">{words.empty}</p>}
      <OperationList operations={shown} {...{ position, seek }} />
      {operations.pageInfo.hasNextPage && (
        <p className="more"><button type="button" onClick={loadMore}>{words.more}</button></p>
      )}
    </section>
  );
}

interface StripProps {
  operations: Operation[];
  end: number;
  position: number;
  seek: (seconds: number) => void;
}

/** The marks, for the eye and the pointer. Keyboards and screen readers use the list and the video's own controls. */
function Strip({ operations, end, position, seek }: StripProps) {
  const { format } = useWords();
  const jump = (event: MouseEvent<HTMLDivElement>) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    seek(Math.max(0, ((event.clientX - left) / width) * end));
  };
  const at = (seconds: number) => ({ left: `${(100 * Math.min(seconds, end)) / end}%` });
  return (
    <div className="strip-frame" aria-hidden="true">
      <div className="strip" onClick={jump}>
        {operations.map((operation) => (
          <span
            key={operation.id} className={`mark ${operation.level ?? ""}`} style={at(operation.offset ?? 0)}
            title={`${format.duration(operation.offset)} ${operation.event ?? ""} ${operation.data ?? ""}`}
          />
        ))}
        <span className="playhead" style={at(position)} />
      </div>
      <div className="strip-scale quiet small">
        <span>{format.duration(0)}</span>
        <span>{format.duration(end)}</span>
      </div>
    </div>
  );
}

interface ListProps {
  operations: Operation[];
  position: number;
  seek: (seconds: number) => void;
}

/** The operations as one stop of the Tab key; arrow keys move within. */
function OperationList({ operations, position, seek }: ListProps) {
  const { texts, format } = useWords();
  const hint = useId();
  const list = useRef<HTMLOListElement>(null);
  const [active, setActive] = useState(0);
  const current = operations.findLastIndex((operation) => (operation.offset ?? 0) <= position);
  const move = (event: KeyboardEvent) => {
    const steps: Record<string, number> = {
      ArrowDown: active + 1, ArrowUp: active - 1, Home: 0, End: operations.length - 1,
    };
    const next = steps[event.key];
    if (next === undefined || next < 0 || next >= operations.length) return;
    event.preventDefault();
    setActive(next);
    list.current?.querySelectorAll("button")[next]?.focus();
  };
  return (
    <>
      <ol className="operations" ref={list} onKeyDown={move}>
        {operations.map((operation, index) => (
          <li key={operation.id} aria-current={index === current && position > 0 ? "step" : undefined}>
            <button
              type="button" className="operation" tabIndex={index === Math.min(active, operations.length - 1) ? 0 : -1}
              aria-describedby={hint} title={format.timeWithZone(operation.time)}
              onClick={() => {
                setActive(index);
                seek(operation.offset ?? 0);
              }}
            >
              <span className="clock">{format.duration(operation.offset)}</span>
              <span className={`level ${operation.level ?? ""}`}>
                {operation.level && operation.level !== "INFO" && `${texts.levels[operation.level]}: `}
                {operation.event ?? (operation.type ? texts.kinds[operation.type] : texts.none)}
              </span>
              <span className="data quiet">{operation.data}</span>
            </button>
          </li>
        ))}
      </ol>
      <p className="hint quiet small" id={hint}>{operations.length > 0 && texts.timeline.hint}</p>
    </>
  );
}
