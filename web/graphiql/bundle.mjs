// How the page and its worker become single files. Nothing in the output loads from elsewhere.

import { readFile } from "node:fs/promises";

import { build } from "esbuild";

/** The bundles as `{ outputFiles, metafiles }`, in memory. */
export async function bundle(root, output) {
  const common = {
    absWorkingDir: root,
    outdir: output,
    write: false,
    bundle: true,
    metafile: true,
    minify: true,
    // What the browsers of the last three years understand.
    target: ["chrome115", "firefox115", "safari16.6"],
    define: { "process.env.NODE_ENV": '"production"' },
    charset: "utf8",
    // The licences travel in one file of their own: see `notices.mjs`.
    legalComments: "none",
    logLevel: "warning",
  };

  const page = await build({
    ...common,
    entryPoints: { graphiql: "src/main.jsx" },
    format: "esm",
    jsx: "automatic",
    alias: SMALLER,
    plugins: [withoutUnusedFeatures(), withoutRepeatedStyles(), withSystemFonts()],
  });
  const worker = await build({
    ...common,
    entryPoints: { worker: "src/worker.js" },
    format: "iife",
  });

  return {
    outputFiles: [...page.outputFiles, ...worker.outputFiles],
    metafiles: [page.metafile, worker.metafile],
  };
}

const SMALLER = {
  "prettier/parser-babel": "./src/json-format.js",
  "prettier/plugins/estree": "./src/json-format.js",
  // GraphiQL imports the same plugin under two names, as two files.
  "prettier/parser-graphql": "prettier/plugins/graphql",
};

/** Parts of the editor that nothing here calls: they serve languages other than GraphQL and JSON. */
const UNUSED_FEATURES = [
  "browser/widget/diffEditor/diffEditor.contribution",
  "contrib/codeAction/browser/codeActionContributions",
  "contrib/codelens/browser/codelensController",
  "contrib/colorPicker/browser/colorContributions",
  "contrib/colorPicker/browser/standaloneColorPickerActions",
  "contrib/diffEditorBreadcrumbs/browser/contribution",
  "contrib/documentSymbols/browser/documentSymbols",
  "contrib/dropOrPasteInto/browser/copyPasteContribution",
  "contrib/dropOrPasteInto/browser/dropIntoEditorContribution",
  "contrib/inPlaceReplace/browser/inPlaceReplace",
  "contrib/inlayHints/browser/inlayHintsContribution",
  "contrib/inlineCompletions/browser/inlineCompletions.contribution",
  "contrib/inlineEdit/browser/inlineEdit.contribution",
  "contrib/inlineEdits/browser/inlineEdits.contribution",
  "contrib/linkedEditing/browser/linkedEditing",
  "contrib/rename/browser/rename",
  "contrib/sectionHeaders/browser/sectionHeaders",
  "contrib/semanticTokens/browser/documentSemanticTokens",
  "contrib/semanticTokens/browser/viewportSemanticTokens",
  "contrib/stickyScroll/browser/stickyScrollContribution",
  "contrib/suggest/browser/suggestInlineCompletions",
  "standalone/browser/inspectTokens/inspectTokens",
  "standalone/browser/quickAccess/standaloneGotoSymbolQuickAccess",
];

/** The comparing editors, which nothing here opens but the editor's own module has by name. */
const UNUSED_WIDGETS = {
  "browser/widget/diffEditor/diffEditorWidget": "export class DiffEditorWidget {}",
  "browser/widget/multiDiffEditor/multiDiffEditorWidget": "export class MultiDiffEditorWidget {}",
};

function withoutUnusedFeatures() {
  const replaced = { ...UNUSED_WIDGETS };
  for (const feature of UNUSED_FEATURES) {
    replaced[feature] = "";
  }
  return {
    name: "without-unused-features",
    setup({ onLoad }) {
      onLoad({ filter: /monaco-editor\/esm\/vs\/editor\/.*\.js$/ }, ({ path }) => {
        const feature = path.replace(/^.*\/vs\/editor\/(.*)\.js$/, "$1");
        const contents = replaced[feature];
        return contents === undefined ? undefined : { contents };
      });
    },
  };
}

/** `graphiql/style.css` brings the editor's styles; the editor's modules would bring them again. */
function withoutRepeatedStyles() {
  return {
    name: "without-repeated-styles",
    setup({ onLoad }) {
      onLoad({ filter: /monaco-editor\/esm\/.*\.css$/ }, () => ({ contents: "", loader: "css" }));
    },
  };
}

/** Leaves text fonts to the reader's machine (see `page.css`); the editor's icon font stays. */
function withSystemFonts() {
  return {
    name: "with-system-fonts",
    setup({ onLoad }) {
      onLoad({ filter: /graphiql\/dist\/style\.css$/ }, async ({ path }) => {
        const styles = await readFile(path, "utf8");
        const contents = styles.replace(/@font-face\s*\{[^}]*\}/g, (face) =>
          face.includes("font-family:codicon") ? face : "",
        );
        return { contents, loader: "css" };
      });
    },
  };
}
