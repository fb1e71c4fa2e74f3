import { type RefObject, useEffect, useRef, useState } from "react";
import { useQuery } from "urql";

import { ErrorNote } from "./ErrorNote.tsx";
import { problemsOf } from "./errors.ts";
import { graphql } from "./gql/index.ts";
import { useWords } from "./language.tsx";

const LinkQuery = graphql(`
  query Link($projectId: ID!, $id: ID!) {
    screenRecord(projectId: $projectId, id: $id) { id projectId downloadLink { url expiresAt } }
  }
`);

/** A link is renewed in its last minute: until then the gateway may answer with the same one. */
const RENEW_BEFORE_MS = 45_000;

interface Props {
  projectId: string;
  id: string;
  video: RefObject<HTMLVideoElement | null>;
  /** What is said where there is no video. */
  missing: string;
  /** Called with the position in seconds while the video plays. */
  onPosition: (seconds: number) => void;
}

/** The video of a recording, by a link that is renewed before it expires. */
export function Player({ projectId, id, video, missing, onPosition }: Props) {
  const { texts, format } = useWords();
  const variables = { projectId, id };
  const [{ data, error, fetching }, ask] = useQuery({ query: LinkQuery, variables, requestPolicy: "network-only" });
  const [isBroken, setIsBroken] = useState(false);
  const link = data?.screenRecord?.downloadLink;
  const renew = () => ask({ requestPolicy: "network-only" });
  useRenewal(link?.expiresAt, renew);
  const resume = useResume(video, link?.url);

  const [problem] = problemsOf(error);
  if (!link && problem) return <ErrorNote problem={problem} retry={renew} />;
  if (!link) return <p className="novideo">{fetching ? texts.loading : missing}</p>;
  return (
    <>
      <video
        ref={video} controls preload="metadata" src={link.url} aria-label={texts.record.video}
        onError={() => setIsBroken(true)}
        onLoadedMetadata={() => {
          setIsBroken(false);
          resume();
        }}
        onTimeUpdate={({ currentTarget: { currentTime, ended } }) => !ended && onPosition(currentTime)}
      />
      {isBroken ? (
        <p className="caption row" role="alert">
          {texts.record.notPlayable} <button type="button" onClick={renew}>{texts.problem.retry}</button>
        </p>
      ) : (
        <p className="caption row quiet small">
          {link.expiresAt && texts.record.expires(format.clock(link.expiresAt))}
          <a className="end" href={link.url} rel="noreferrer" download>{texts.record.download}</a>
        </p>
      )}
    </>
  );
}

function useRenewal(expiresAt: string | null | undefined, renew: () => void) {
  const latest = useRef(renew);
  useEffect(() => {
    latest.current = renew;
  });
  useEffect(() => {
    if (!expiresAt) return;
    const left = new Date(expiresAt).getTime() - Date.now();
    const wait = Math.max(left > 2 * RENEW_BEFORE_MS ? left - RENEW_BEFORE_MS : left / 2, 1000);
    const timer = setTimeout(() => latest.current(), wait);
    return () => clearTimeout(timer);
  }, [expiresAt]);
}

/** A renewed link goes on where the last one was. Returns what to do once the video is loaded. */
function useResume(video: RefObject<HTMLVideoElement | null>, url: string | undefined): () => void {
  const before = useRef({ time: 0, isPlaying: false });
  const shown = useRef(url);
  if (shown.current !== url) {
    // The element still plays the old link here: the new one is set after rendering.
    const { currentTime = 0, paused = true } = video.current ?? {};
    before.current = { time: currentTime, isPlaying: !paused };
    shown.current = url;
  }
  return () => {
    const { time, isPlaying } = before.current;
    if (!video.current || time === 0) return;
    video.current.currentTime = time;
    if (isPlaying) void video.current.play();
  };
}
