// Bundles GraphiQL into a few files with stable names, which the gateway serves from its binary.
import { defineConfig } from "vite";

export default defineConfig({
  base: "/graphql/assets/",
  build: {
    outDir: "../../src/http/graphiql/assets",
    emptyOutDir: true,
    assetsDir: "",
    chunkSizeWarningLimit: 10_000,
    modulePreload: false,
    rollupOptions: {
      output: {
        entryFileNames: "graphiql.js",
        chunkFileNames: "[name].js",
        assetFileNames: "[name][extname]",
        codeSplitting: false,
      },
    },
  },
  worker: {
    format: "es",
    rollupOptions: { output: { entryFileNames: "[name].js", chunkFileNames: "[name].js" } },
  },
});
