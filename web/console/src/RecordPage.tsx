import { type ReactNode, useRef, useState } from "react";
import { useQuery, useSubscription } from "urql";

import { Badge } from "./Badge.tsx";
import { ErrorNote, wordsFor } from "./ErrorNote.tsx";
import { distinct, problemAt, problemsOf } from "./errors.ts";
import { graphql } from "./gql/index.ts";
import type { RecordQuery as RecordData } from "./gql/graphql.ts";
import { useWords } from "./language.tsx";
import { LiveState } from "./LiveState.tsx";
import { Player } from "./Player.tsx";
import { hrefOf } from "./route.ts";
import { Timeline } from "./Timeline.tsx";
import type { Texts } from "./texts/en.ts";

const OPERATIONS = 500;

const RecordQuery = graphql(`
  query Record($projectId: ID!, $id: ID!, $operations: Int!, $after: String) {
    screenRecord(projectId: $projectId, id: $id) {
      id projectId desktopId desktopName desktopPoolId username status rawStatus type rawType
      startTime endTime updateTime duration size policyId obsBucket fileDirectory
      videoFilename videoFileSha256
      operations(first: $operations, after: $after) {
        totalCount
        pageInfo { hasNextPage endCursor }
        edges { node { id type level event data time offset } }
      }
    }
  }
`);

const Changes = graphql(`
  subscription Changes($projectId: ID!, $id: ID!) {
    screenRecord(projectId: $projectId, id: $id) {
      id projectId status rawStatus endTime updateTime duration size
    }
  }
`);

type Details = NonNullable<RecordData["screenRecord"]>;

const FINAL = ["UPLOAD_COMPLETED", "REC_FAILED", "UPLOAD_FAILED"];

/** One recording: its video beside what happened on the desktop, and its details. */
export function RecordPage({ projectId, id }: { projectId: string; id: string }) {
  const { texts } = useWords();
  const [after, setAfter] = useState<string | null>(null);
  const variables = { projectId, id, operations: OPERATIONS, after };
  const [{ data, error, fetching }, ask] = useQuery({ query: RecordQuery, variables });
  const record = data?.screenRecord;
  const isLive = record != null && !FINAL.includes(record.status ?? "");
  // The normalised cache takes what changes and hands it to the query above.
  useSubscription({ query: Changes, variables: { projectId, id }, pause: !isLive });
  const [position, setPosition] = useState(0);
  const [isBeyond, setIsBeyond] = useState(false);
  const video = useRef<HTMLVideoElement>(null);

  const problems = problemsOf(error);
  const retry = () => ask({ requestPolicy: "network-only" });
  const ofWhole = record ? problems.filter(({ path }) => path.length < 2) : problems;
  const ofOperations = problemAt(problems, "screenRecord", "operations");
  return (
    <>
      <p className="crumbs"><a href={hrefOf("recordings", new URLSearchParams())}>← {texts.record.back}</a></p>
      <div className="heading">
        <h1>{record?.desktopName ?? id}</h1>
        {record && (
          <p role="status" className="row">
            <Badge record={record} />
            {isLive && <LiveState />}
          </p>
        )}
      </div>
      {!record && fetching && <p role="status">{texts.loading}</p>}
      {distinct(ofWhole).map((problem) => (
        <ErrorNote key={problem.code} problem={problem} retry={retry} />
      ))}
      {record && (
        <div className="columns">
          <section className="card stage" aria-label={texts.record.video}>
            <Player
              // A recording that has just been uploaded has a link at last.
              key={record.status} {...{ projectId, id, video }} onPosition={setPosition}
              missing={isLive ? texts.record.noVideoYet : texts.record.noVideo}
            />
            {isBeyond && <p className="caption quiet small" role="status">{texts.record.beyond}</p>}
          </section>
          {ofOperations && <ErrorNote problem={ofOperations} retry={retry} />}
          {record.operations && (
            <Timeline
              operations={record.operations} length={record.duration} position={position}
              seek={(seconds) => {
                setIsBeyond(seconds > (video.current?.duration ?? Infinity));
                if (video.current) video.current.currentTime = seconds;
                setPosition(seconds);
              }}
              loadMore={() => setAfter(record.operations?.pageInfo.endCursor ?? null)}
            />
          )}
          <DetailList record={record} problems={problems} />
        </div>
      )}
    </>
  );
}

function DetailList({ record, problems }: { record: Details; problems: ReturnType<typeof problemsOf> }) {
  const { texts, format } = useWords();
  const type = record.type === "UNKNOWN" ? record.rawType : record.type && texts.types[record.type];
  const shown: Partial<Record<keyof Texts["record"]["fields"], ReactNode>> = {
    username: record.username,
    startTime: format.timeWithZone(record.startTime),
    endTime: format.timeWithZone(record.endTime),
    updateTime: format.timeWithZone(record.updateTime),
    duration: format.duration(record.duration),
    size: format.size(record.size),
    type,
    videoFilename: record.videoFilename,
    videoFileSha256: record.videoFileSha256,
    obsBucket: record.obsBucket,
    fileDirectory: record.fileDirectory,
    policyId: record.policyId,
    desktopId: record.desktopId,
    desktopPoolId: record.desktopPoolId,
    id: record.id,
  };
  return (
    <section className="card details" aria-labelledby="details">
      <h2 id="details">{texts.record.details}</h2>
      <dl>
        {Object.entries(shown).map(([name, value]) => {
          const problem = problemAt(problems, "screenRecord", name);
          return (
            <div key={name}>
              <dt>{texts.record.fields[name as keyof Texts["record"]["fields"]]}</dt>
              <dd data-field={name}>
                {problem ? <em title={problem.message}>{wordsFor(problem, texts).what}</em> : (value ?? texts.none)}
              </dd>
            </div>
          );
        })}
      </dl>
    </section>
  );
}
