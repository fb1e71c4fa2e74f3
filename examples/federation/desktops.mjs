// A subgraph that owns desktops: node desktops.mjs [PORT]
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { buildSubgraphSchema } from "@apollo/subgraph";
import { parse } from "graphql";
import { createYoga } from "graphql-yoga";

const typeDefs = parse(readFileSync(new URL("desktops.graphql", import.meta.url), "utf8"));
const desktop = (id) => ({ id, room: `room ${id.slice(0, 4)}` });
const resolvers = {
  Query: { desktop: (_, { id }) => desktop(id) },
  Desktop: { __resolveReference: ({ id }) => desktop(id) },
};

const yoga = createYoga({ schema: buildSubgraphSchema({ typeDefs, resolvers }), logging: false });
const server = createServer(yoga);
server.listen(Number(process.argv[2] ?? 4001), "127.0.0.1", () => {
  console.log(`desktops  http://127.0.0.1:${server.address().port}/graphql`);
});
