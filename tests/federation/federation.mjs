// The gateway as a subgraph: composed with another one by Apollo's composition, and asked through
// Apollo's gateway.
//
// node federation.mjs http://127.0.0.1:8080/graphql PROJECT ID SDL-FILE TAGGED-SDL-FILE
import { readFileSync } from "node:fs";
import { ApolloGateway, RemoteGraphQLDataSource } from "@apollo/gateway";
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { composeServices } from "@apollo/composition";
import { composeServices as composeForHive } from "@theguild/federation-composition";
import { ROUTER_COMPATIBILITY_VERSION_ONE, federateSubgraphs as composeForCosmo } from "@wundergraph/composition";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { parse } from "graphql";

import { equal, run } from "../support/checks.mjs";

const [url, projectId, id, sdlFile, taggedFile] = process.argv.slice(2);
if (!taggedFile) {
  console.error("usage: node federation.mjs URL PROJECT ID SDL-FILE TAGGED-SDL-FILE");
  process.exit(2);
}
const sdl = readFileSync(sdlFile, "utf8");
const TOKEN = "demo-token";

// The other subgraph: it owns desktops, and tags recordings.
const others = parse(`
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@external"])
  type Query { pinned: [ScreenRecord!]! }
  type Desktop @key(fields: "id") { id: ID! site: String! }
  type ScreenRecord @key(fields: "projectId id") { projectId: ID! id: ID! tag: String! }
`);
let pinned = [];
const resolvers = {
  Query: { pinned: () => pinned },
  Desktop: { __resolveReference: ({ id }) => ({ id, site: `site of ${id}` }) },
  ScreenRecord: { __resolveReference: (key) => key, tag: ({ id }) => `tag of ${id}` },
};

async function ask(query, variables = {}) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", "x-auth-token": TOKEN },
    body: JSON.stringify({ query, variables }),
  });
  return answer.json();
}

class WithToken extends RemoteGraphQLDataSource {
  willSendRequest({ request }) {
    request.http.headers.set("x-auth-token", TOKEN);
  }
}

const subgraph = new ApolloServer({ schema: buildSubgraphSchema({ typeDefs: others, resolvers }) });
const { url: othersUrl } = await startStandaloneServer(subgraph, { listen: { host: "127.0.0.1", port: 0 } });
const subgraphs = [
  { name: "recordings", url, typeDefs: parse(sdl) },
  { name: "others", url: othersUrl, typeDefs: others },
];
const composed = composeServices(subgraphs);
let gateway;

const checks = {
  "the subgraph composes without errors or hints about it": async () => {
    equal(composed.errors?.map((error) => error.message) ?? [], []);
  },
  "the supergraph says what fields cost": async () => {
    equal(/directive @cost/.test(composed.supergraphSdl) && /@listSize\(/.test(composed.supergraphSdl), true);
  },
  "the subgraph composes for Hive": async () => {
    const { errors, supergraphSdl } = composeForHive(subgraphs);
    equal([errors?.map((error) => error.message) ?? [], /@listSize\(/.test(supergraphSdl)], [[], true]);
  },
  "the subgraph composes for Cosmo": async () => {
    const definitions = subgraphs.map(({ typeDefs, ...rest }) => ({ ...rest, definitions: typeDefs }));
    const { success, errors } = composeForCosmo({ subgraphs: definitions, version: ROUTER_COMPATIBILITY_VERSION_ONE });
    equal([success, errors?.map((error) => error.message) ?? []], [true, []]);
  },
  "the subgraph with cache tags composes for Apollo's router, which finds them": async () => {
    const [, others] = subgraphs;
    const tagged = { name: "recordings", url, typeDefs: parse(readFileSync(taggedFile, "utf8")) };
    const { errors, supergraphSdl = "" } = composeServices([tagged, others]);
    equal(errors?.map((error) => error.message) ?? [], []);
    const formats = supergraphSdl.matchAll(/name: "federation__cacheTag", args: {format: "([^"]*)"}/g);
    equal([...new Set([...formats].map(([, format]) => format))].sort(), [
      "lists-{$args.projectId}",
      "project-{$args.projectId}",
      "project-{$key.projectId}",
      "projects",
      "recording-{$args.projectId}-{$args.id}",
      "recording-{$key.projectId}-{$key.id}",
    ]);
  },
  "_service.sdl is what the schema command prints": async () => {
    const { data } = await ask("{ _service { sdl } }");
    equal(data._service.sdl.trim(), sdl.trim());
  },
  "one failing entity leaves the others standing": async () => {
    const representations = [
      { __typename: "ScreenRecord", projectId, id },
      { __typename: "ScreenRecord", projectId, id: "no-such-record" },
      { __typename: "ScreenRecord", projectId, id },
      { __typename: "Desktop", id: "d" },
    ];
    const query = `query ($r: [_Any!]!) { _entities(representations: $r) { ... on ScreenRecord { id status } } }`;
    const { data, errors } = await ask(query, { r: representations });
    equal(data._entities.map((entity) => entity?.id ?? null), [id, null, id, null]);
    equal(
      errors.map(({ path, extensions }) => [path, extensions.code]),
      [
        [["_entities", 1], "NOT_FOUND"],
        [["_entities", 3], "BAD_USER_INPUT"],
      ],
    );
  },
  "a router joins both graphs from the recordings' side": async () => {
    gateway = new ApolloGateway({
      supergraphSdl: composed.supergraphSdl,
      buildService: ({ url }) => new WithToken({ url }),
    });
    const server = new ApolloServer({ gateway });
    await server.start();
    gateway.server = server;
    const query = `{ screenRecord(projectId: "${projectId}", id: "${id}") { id tag desktop { id site } } }`;
    const { body } = await server.executeOperation({ query });
    const { data, errors } = body.singleResult;
    equal(errors ?? [], []);
    equal(data.screenRecord.tag, `tag of ${id}`);
    equal(data.screenRecord.desktop.site, `site of ${data.screenRecord.desktop.id}`);
  },
  "a router joins both graphs from the other side": async () => {
    pinned = [
      { projectId, id },
      { projectId, id: "no-such-record" },
    ];
    const query = `{ pinned { id tag status } }`;
    const { body } = await gateway.server.executeOperation({ query });
    const { data, errors } = body.singleResult;
    equal(data.pinned.map(({ status }) => status !== null), [true, false]);
    equal(errors.map(({ extensions }) => extensions.code), ["NOT_FOUND"]);
  },
};

const failed = await run(checks);
await gateway?.server?.stop();
await subgraph.stop();
process.exit(failed === 0 ? 0 : 1);
