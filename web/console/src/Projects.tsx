import { useEffect } from "react";
import { useQuery } from "urql";

import { AccessForm, useAccess } from "./AccessForm.tsx";
import { graphql } from "./gql/index.ts";
import { useWords } from "./language.tsx";

const ProjectsQuery = graphql(`
  query Projects { projects { id name region } }
`);

/** The projects that the gateway's settings name. There may be none: then a person types an id. */
function useProjects() {
  const [{ data }] = useQuery({ query: ProjectsQuery });
  return data?.projects ?? [];
}

/** Chooses among the known projects. */
export function ProjectPicker() {
  const { texts } = useWords();
  const { access, setAccess, openForm } = useAccess();
  const projects = useProjects();
  const isKnown = projects.some(({ id }) => id === access.projectId);
  if (!access.projectId) return null;
  if (projects.length === 0) {
    return (
      <span className="project" title={access.projectId}>
        {texts.access.project} <code>{access.projectId}</code>
      </span>
    );
  }
  const choose = (id: string) => (id === OTHER ? openForm() : setAccess({ ...access, projectId: id }));
  return (
    <select
      className="project" aria-label={texts.access.project} value={access.projectId}
      onChange={(event) => choose(event.target.value)}
    >
      {!isKnown && <option value={access.projectId}>{access.projectId}</option>}
      {projects.map(({ id, name, region }) => (
        <option key={id} value={id}>{[name ?? id, region].filter(Boolean).join(" · ")}</option>
      ))}
      <option value={OTHER}>{texts.access.otherProject}</option>
    </select>
  );
}

/** An id has no such characters. */
const OTHER = "…";

/** Before a project is known: the first one of the settings, or the one that a person enters. */
export function Welcome() {
  const { texts } = useWords();
  const { access, setAccess } = useAccess();
  const [first] = useProjects();
  useEffect(() => {
    if (first) setAccess({ ...access, projectId: first.id });
  }, [first, access, setAccess]);
  return (
    <section className="card welcome">
      <h1>{texts.title}</h1>
      <p>{texts.access.needed}</p>
      <AccessForm />
    </section>
  );
}
