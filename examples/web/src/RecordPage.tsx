import { type ReactNode, useRef } from "react";
import { useQuery, useSubscription } from "urql";

import { ErrorNote } from "./ErrorNote.tsx";
import { ofField, told } from "./errors.ts";
import { duration, size, time, words } from "./format.ts";
import { graphql } from "./gql/index.ts";
import { Timeline } from "./Timeline.tsx";

const RecordQuery = graphql(`
  query Record($projectId: ID!, $id: ID!) {
    screenRecord(projectId: $projectId, id: $id) {
      id projectId desktopId desktopName desktopPoolId username status rawStatus type rawType
      startTime endTime updateTime duration size policyId obsBucket videoFilename videoFileSha256
      downloadUrl
      operations(first: 500) {
        totalCount
        nodes { id type level event data time offset }
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

const FINAL = ["UPLOAD_COMPLETED", "REC_FAILED", "UPLOAD_FAILED"];

/** One recording: what is known of it, its video, and what happened during it. */
export function RecordPage({ projectId, id }: { projectId: string; id: string }) {
  const variables = { projectId, id };
  const [{ data, error, fetching }, ask] = useQuery({ query: RecordQuery, variables });
  const record = data?.screenRecord;
  const live = record != null && !FINAL.includes(record.status ?? "");
  // What changes goes into the cache, and from there into the query above.
  useSubscription({ query: Changes, variables, pause: !live });
  const video = useRef<HTMLVideoElement>(null);

  const errors = told(error);
  const retry = () => ask({ requestPolicy: "network-only" });
  const whole = record ? errors.filter((failure) => failure.path.length < 2) : errors;
  const field = (name: string, shown: ReactNode) => {
    const failure = ofField(errors, "screenRecord", name);
    return (
      <>
        <dt>{words(name.replace(/[A-Z]/g, (letter) => `_${letter}`))}</dt>
        <dd data-field={name}>{failure ? <em title={failure.code}>{failure.words}</em> : shown}</dd>
      </>
    );
  };
  const link = ofField(errors, "screenRecord", "downloadUrl");
  const operations = ofField(errors, "screenRecord", "operations");

  return (
    <main>
      <p><a href="#/">All recordings</a></p>
      <h1>{record?.desktopName ?? id}</h1>
      {!record && fetching && <p role="status">Loading…</p>}
      {whole.map((failure, index) => (
        <ErrorNote key={index} error={failure} retry={retry} />
      ))}
      {record && (
        <>
          <p role="status" aria-live="polite">
            <span className={`badge ${record.status}`} data-status={record.status}>
              {words(record.status === "UNKNOWN" ? record.rawStatus : record.status)}
            </span>
            {live && <span className="live"> ● Live</span>}
          </p>
          {record.downloadUrl ? (
            <video ref={video} controls preload="none" src={record.downloadUrl} />
          ) : link ? (
            <ErrorNote error={link} retry={retry} />
          ) : (
            <p className="novideo">There is no video of this recording{live ? " yet" : ""}.</p>
          )}
          <dl>
            {field("username", record.username ?? "–")}
            {field("startTime", time(record.startTime))}
            {field("endTime", time(record.endTime))}
            {field("updateTime", time(record.updateTime))}
            {field("duration", duration(record.duration))}
            {field("size", size(record.size))}
            {field("type", words(record.type === "UNKNOWN" ? record.rawType : record.type))}
            {field("videoFilename", record.videoFilename ?? "–")}
            {field("videoFileSha256", record.videoFileSha256 ?? "–")}
            {field("desktopId", record.desktopId ?? "–")}
            {field("id", record.id)}
          </dl>
          {operations && <ErrorNote error={operations} retry={retry} />}
          {record.operations && (
            <Timeline
              operations={record.operations}
              length={record.duration}
              seek={(seconds) => {
                if (video.current) video.current.currentTime = seconds;
              }}
            />
          )}
        </>
      )}
    </main>
  );
}
