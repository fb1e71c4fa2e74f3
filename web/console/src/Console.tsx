import { type ReactNode, type RefObject, useEffect, useMemo, useRef } from "react";
import { Provider } from "urql";

import { useAccess } from "./AccessForm.tsx";
import { connect, GatewayContext } from "./gateway.ts";
import { LANGUAGES, type Language, useWords } from "./language.tsx";
import { ProjectPicker, Welcome } from "./Projects.tsx";
import { Overview } from "./Overview.tsx";
import { RecordList } from "./RecordList.tsx";
import { RecordPage } from "./RecordPage.tsx";
import { hrefOf, type Route, useRoute } from "./route.ts";

/** The page: a header, and the view that the address names. */
export function Console() {
  const { texts } = useWords();
  const { access } = useAccess();
  const gateway = useMemo(() => connect(access.token), [access.token]);
  useEffect(() => () => gateway.close(), [gateway]);
  const route = useRoute();
  const main = useRef<HTMLElement>(null);
  useFocusOnNewView(main, route);
  return (
    <Provider value={gateway.client} key={access.token}>
      <GatewayContext value={gateway}>
        <a
          className="skip" href="#main"
          onClick={(event) => {
            event.preventDefault();
            main.current?.focus();
          }}
        >
          {texts.skip}
        </a>
        <Header route={route} />
        <main id="main" ref={main} tabIndex={-1}>
          {access.projectId ? <View key={access.projectId} route={route} /> : <Welcome />}
        </main>
      </GatewayContext>
    </Provider>
  );
}

/** A screen reader reads a new view from its start; the first one is read anyway. */
function useFocusOnNewView(main: RefObject<HTMLElement | null>, route: Route) {
  const name = route.view === "record" ? route.id : route.view;
  const last = useRef(name);
  useEffect(() => {
    if (last.current === name) return;
    last.current = name;
    main.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [main, name]);
}

function View({ route }: { route: Route }): ReactNode {
  const { projectId } = useAccess().access;
  if (route.view === "record") return <RecordPage key={route.id} projectId={projectId} id={route.id} />;
  if (route.view === "overview") return <Overview projectId={projectId} query={route.query} />;
  return <RecordList projectId={projectId} query={route.query} />;
}

function Header({ route }: { route: Route }) {
  const { texts, language, choose } = useWords();
  const { openForm } = useAccess();
  const none = new URLSearchParams();
  const isList = route.view === "list";
  return (
    <header>
      <div className="bar">
        <p className="brand">
          <img src="./assets/icon.svg" alt="" width="28" height="28" />
          {texts.title}
        </p>
        <nav aria-label={texts.nav.label}>
          <a href={hrefOf("overview", none)} aria-current={route.view === "overview" ? "page" : undefined}>
            {texts.nav.overview}
          </a>
          <a href={hrefOf("recordings", none)} aria-current={isList ? "page" : route.view === "record" ? "true" : undefined}>
            {texts.nav.recordings}
          </a>
        </nav>
        <div className="row end">
          <ProjectPicker />
          <button type="button" onClick={openForm}>{texts.access.open}</button>
          <select
            aria-label={texts.language} value={language}
            onChange={(event) => choose(event.target.value as Language)}
          >
            {Object.entries(LANGUAGES).map(([tag, name]) => (
              <option key={tag} value={tag} lang={tag}>{name}</option>
            ))}
          </select>
        </div>
      </div>
    </header>
  );
}
