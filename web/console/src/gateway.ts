import { cacheExchange } from "@urql/exchange-graphcache";
import { createClient as createSocket } from "graphql-ws";
import { createContext, useContext } from "react";
import { Client, fetchExchange, subscriptionExchange } from "urql";

import { cache } from "./cache.ts";

/** Whether the socket of live updates is open. */
export type Connection = "idle" | "open" | "lost";

export interface Gateway {
  client: Client;
  connection: {
    get: () => Connection;
    subscribe: (changed: () => void) => () => void;
  };
  close: () => void;
}

export const GatewayContext = createContext<Gateway | undefined>(undefined);

/** The connection to the gateway. */
export function useGateway(): Gateway {
  const gateway = useContext(GatewayContext);
  if (!gateway) throw new Error("useGateway needs a GatewayContext around it");
  return gateway;
}

/** A client for one token. Another token gets another client, and with it another cache. */
export function connect(token: string): Gateway {
  const headers: Record<string, string> = token ? { Authorization: `Bearer ${token}` } : {};
  const endpoint = new URL("graphql", document.baseURI).href;
  const socket = createSocket({
    url: endpoint.replace(/^http/, "ws"),
    connectionParams: headers,
    lazy: true,
    retryAttempts: Infinity,
    // A refused token stays refused; everything else may pass.
    shouldRetry: (event) => !(event instanceof CloseEvent && [4401, 4403].includes(event.code)),
  });
  const client = new Client({
    url: endpoint,
    preferGetMethod: false,
    fetchOptions: { headers },
    exchanges: [
      cacheExchange(cache),
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({
            unsubscribe: socket.subscribe({ query: query ?? "", variables }, sink),
          }),
        }),
      }),
    ],
  });
  return { client, connection: watch(socket), close: () => void socket.dispose() };
}

function watch(socket: ReturnType<typeof createSocket>): Gateway["connection"] {
  let state: Connection = "idle";
  const listeners = new Set<() => void>();
  const set = (next: Connection) => {
    state = next;
    for (const changed of listeners) changed();
  };
  socket.on("connected", () => set("open"));
  socket.on("closed", (event) => {
    const isClean = event instanceof CloseEvent && event.code === 1000;
    set(isClean ? "idle" : "lost");
  });
  return {
    get: () => state,
    subscribe: (changed) => {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
  };
}
