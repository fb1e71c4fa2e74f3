import { cacheExchange } from "@urql/exchange-graphcache";
import { createClient as createSocket } from "graphql-ws";
import { Client, fetchExchange, subscriptionExchange } from "urql";

import { cache } from "./cache.ts";

/** A client for one token. Another token gets another client, and with it another cache. */
export function clientFor(token: string): Client {
  const headers: Record<string, string> = token ? { "X-Auth-Token": token } : {};
  const socket = createSocket({
    url: new URL("/graphql", window.location.href).href.replace(/^http/, "ws"),
    connectionParams: headers,
    lazy: true,
  });
  return new Client({
    url: "/graphql",
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
}
