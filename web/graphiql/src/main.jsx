// The page behind a browser's GET of the GraphQL endpoint. It talks to its own address only.

import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import "graphiql/style.css";
import "./page.css";

import { readDefaults } from "./defaults.js";
import { storageWithoutHeaders } from "./storage.js";
import "./workers.js";

const endpoint = new URL(window.location.pathname, window.location.href);
const socket = new URL(endpoint);
socket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

const fetcher = createGraphiQLFetcher({
  url: endpoint.href,
  // Subscriptions; what stands in the headers editor goes along in `connection_init`.
  subscriptionUrl: socket.href,
  enableIncrementalDelivery: false,
});

const defaults = readDefaults(document, window.location);

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    storage={storageWithoutHeaders(window)}
    shouldPersistHeaders={false}
    showPersistHeadersSettings={false}
    defaultEditorToolsVisibility="headers"
    defaultQuery={defaults.fallbackQuery}
    defaultHeaders={defaults.headers}
    initialQuery={defaults.query}
    initialVariables={defaults.variables}
    initialHeaders={defaults.headers}
    inputValueDeprecation
    schemaDescription
  >
    <GraphiQL.Logo>screen-record-gateway</GraphiQL.Logo>
  </GraphiQL>,
);
