import { StrictMode, useEffect, useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { Provider } from "urql";

import { clientFor } from "./client.ts";
import { RecordList } from "./RecordList.tsx";
import { RecordPage } from "./RecordPage.tsx";
import "./style.css";

// What the demo serves. A token is kept in memory only: a reload asks for it again.
const DEMO_PROJECT = "089b2f9a3d80d3062f24c00ca4ed5cbd";
const DEMO_TOKEN = "demo-token";

/** The id in the address, where one recording is shown. */
function shownId(): string | undefined {
  const id = window.location.hash.match(/^#\/records\/(.+)$/)?.[1];
  return id && decodeURIComponent(id);
}

function App() {
  const [asked, setAsked] = useState({ projectId: DEMO_PROJECT, token: DEMO_TOKEN });
  const [id, setId] = useState(shownId);
  useEffect(() => {
    const follow = () => setId(shownId());
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  const client = useMemo(() => clientFor(asked.token), [asked.token]);
  const projectId = asked.projectId;

  return (
    <Provider value={client} key={asked.token}>
      <header>
        <form
          aria-label="Access"
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            const text = (name: string) => String(form.get(name) ?? "").trim();
            setAsked({ projectId: text("project"), token: text("token") });
          }}
        >
          <label>Project <input name="project" defaultValue={projectId} required maxLength={64} /></label>
          <label>
            Token <input name="token" type="password" defaultValue={asked.token} autoComplete="off" />
          </label>
          <button type="submit">Use</button>
        </form>
        <form
          aria-label="Open"
          onSubmit={(event) => {
            event.preventDefault();
            const wanted = String(new FormData(event.currentTarget).get("id") ?? "").trim();
            if (wanted) window.location.hash = `#/records/${encodeURIComponent(wanted)}`;
          }}
        >
          <label>Recording <input name="id" placeholder="id" maxLength={64} /></label>
          <button type="submit">Open</button>
        </form>
      </header>
      {id ? (
        <RecordPage key={id} projectId={projectId} id={id} />
      ) : (
        <RecordList key={projectId} projectId={projectId} />
      )}
    </Provider>
  );
}

const root = document.getElementById("root");
if (root) createRoot(root).render(<StrictMode><App /></StrictMode>);
