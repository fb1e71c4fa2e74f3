// Composes the supergraph of both subgraphs:
//
//   screen-record-gateway schema --federation > recordings.graphql
//   node compose.mjs [RECORDINGS-URL [DESKTOPS-URL]] > supergraph.graphql
import { readFileSync } from "node:fs";
import { composeServices } from "@apollo/composition";
import { parse } from "graphql";

const [recordings = "http://127.0.0.1:8080/graphql", desktops = "http://127.0.0.1:4001/graphql"] =
  process.argv.slice(2);
const read = (name) => parse(readFileSync(new URL(name, import.meta.url), "utf8"));

const { supergraphSdl, errors } = composeServices([
  { name: "recordings", url: recordings, typeDefs: read("recordings.graphql") },
  { name: "desktops", url: desktops, typeDefs: read("desktops.graphql") },
]);
if (errors) {
  errors.forEach((error) => console.error(error.message));
  process.exit(1);
}
process.stdout.write(supergraphSdl);
