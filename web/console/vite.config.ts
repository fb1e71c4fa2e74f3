import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

import { notices } from "../notices.mjs";

const gateway = new URL(process.env.GATEWAY_URL ?? "http://127.0.0.1:8080/graphql").origin;

// `npm run dev`: the page asks its own origin. The gateway refuses sockets of other origins, so the proxy
// rewrites their `Origin`.
const proxy = {
  "/graphql": { target: gateway, changeOrigin: true, ws: true, rewriteWsOrigin: true },
};

/** Writes the licences of the bundled packages into a file beside the bundle. */
function withNotices(): Plugin {
  return {
    name: "with-notices",
    async generateBundle(_, bundle) {
      const chunks = Object.values(bundle).filter((output) => output.type === "chunk");
      const modules = chunks.flatMap((chunk) => chunk.moduleIds);
      const source = await notices("The console", import.meta.dirname, modules);
      this.emitFile({ type: "asset", fileName: "assets/notices.txt", source });
    },
  };
}

export default defineConfig({
  // Relative addresses: the page also works below a path of a reverse proxy.
  base: "./",
  plugins: [react(), withNotices()],
  server: { proxy },
  build: {
    // The gateway embeds these files; their names stay the same from build to build.
    outDir: "../../src/http/console",
    emptyOutDir: true,
    target: ["chrome115", "firefox115", "safari16.6"],
    modulePreload: false,
    chunkSizeWarningLimit: 600,
    // Licences are in notices.txt.
    license: false,
    rolldownOptions: {
      output: {
        entryFileNames: "assets/console.js",
        assetFileNames: "assets/console[extname]",
        codeSplitting: false,
      },
    },
  },
});
