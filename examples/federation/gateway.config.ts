// Hive Gateway: the caller's token goes on to the recordings.
import { defineConfig } from "@graphql-hive/gateway";

export const gatewayConfig = defineConfig({
  supergraph: process.env.SUPERGRAPH ?? "./supergraph.graphql",
  propagateHeaders: {
    fromClientToSubgraphs: ({ request }) => ({
      "x-auth-token": request.headers.get("x-auth-token") ?? "",
    }),
  },
});
