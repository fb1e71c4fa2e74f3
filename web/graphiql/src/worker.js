// All language services in one file, as most of their code is the same. The page names a worker
// after its language; `require` runs one service only, and before the first message arrives.

switch (self.name) {
  case "graphql":
    require("monaco-graphql/esm/graphql.worker.js");
    break;
  case "json":
    require("monaco-editor/esm/vs/language/json/json.worker.js");
    break;
  default:
    require("monaco-editor/esm/vs/editor/editor.worker.js");
}
