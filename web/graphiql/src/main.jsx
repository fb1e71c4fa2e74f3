// GraphiQL for the page's own address. Nothing is loaded from anywhere else.
import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "./page.css";

import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

/** What the server suggests: a query to start with and, in the demo, headers that make it work. */
function defaults() {
  const meta = document.querySelector('meta[name="graphiql-defaults"]');
  try {
    return JSON.parse(meta?.content ?? "{}");
  } catch {
    return {};
  }
}

const { query, headers } = defaults();
const address = new URLSearchParams(window.location.search);

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={createGraphiQLFetcher({ url: window.location.pathname })}
    initialQuery={address.get("query") ?? undefined}
    initialVariables={address.get("variables") ?? undefined}
    defaultQuery={query}
    initialHeaders={headers}
    defaultHeaders={headers}
    isHeadersEditorEnabled
    shouldPersistHeaders={false}
    defaultEditorToolsVisibility="headers"
  />,
);
