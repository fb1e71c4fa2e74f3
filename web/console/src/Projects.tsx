import { AccessForm, useAccess } from "./AccessForm.tsx";
import { useWords } from "./language.tsx";

/** The project that is shown. */
export function ProjectPicker() {
  const { texts } = useWords();
  const { projectId } = useAccess().access;
  if (!projectId) return null;
  return (
    <span className="project" title={projectId}>
      {texts.access.project} <code>{projectId}</code>
    </span>
  );
}

/** Asks for the project that is to be shown. */
export function Welcome() {
  const { texts } = useWords();
  return (
    <section className="card welcome">
      <h1>{texts.title}</h1>
      <p>{texts.access.needed}</p>
      <AccessForm />
    </section>
  );
}
