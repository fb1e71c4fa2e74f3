import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const gateway = new URL(process.env.GATEWAY_URL ?? "http://127.0.0.1:8080/graphql").origin;

// The page asks its own origin; queries and sockets are handed on to the gateway. The gateway lets no page of
// another origin open a socket, so the proxy speaks in the gateway's own name.
const proxy = {
  "/graphql": { target: gateway, changeOrigin: true, ws: true, rewriteWsOrigin: true },
};

export default defineConfig({
  plugins: [react()],
  server: { proxy },
  preview: { proxy },
});
