// The same query by GraphQL Yoga: a dataloader for each request, an LRU cache of records behind it, and
// undici's pool to the upstream.
//
// node yoga.mjs UPSTREAM
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

import DataLoader from "dataloader";
import { createSchema, createYoga } from "graphql-yoga";
import { LRUCache } from "lru-cache";
import { Pool } from "undici";

const pool = new Pool(process.argv[2], { connections: 64 });
const cache = new LRUCache({ max: 200_000 });

const typeDefs = readFileSync(new URL("../../schema.graphql", import.meta.url), "utf8");

// A time without a zone is in UTC.
function instant(text) {
  return new Date(text.endsWith("Z") ? text : `${text.replace(" ", "T")}Z`).toISOString();
}

async function load(token, projectId, id) {
  const path = `/v2/${projectId}/screen-records/${id}`;
  const { statusCode, body } = await pool.request({ path, method: "GET", headers: { "x-auth-token": token } });
  const wire = await body.json();
  if (statusCode !== 200) throw new Error(`the upstream answered ${statusCode}`);
  return {
    ...wire,
    projectId,
    desktopId: wire.desktop_id,
    desktopName: wire.desktop_name,
    startTime: instant(wire.start_time),
    endTime: instant(wire.end_time),
    updateTime: instant(wire.update_time),
  };
}

// A loader of one caller; keys are distinct within a request, the cache outlives it.
function loader(token) {
  const one = async ({ projectId, id }) => {
    const key = `${token}\n${projectId}\n${id}`;
    const record = cache.get(key) ?? (await load(token, projectId, id));
    cache.set(key, record);
    return record;
  };
  const batch = (keys) => Promise.all(keys.map((key) => one(key).catch((error) => error)));
  return new DataLoader(batch, { cacheKeyFn: (key) => `${key.projectId}\n${key.id}` });
}

const yoga = createYoga({
  schema: createSchema({
    typeDefs,
    resolvers: { Query: { screenRecord: (_, key, { records }) => records.load(key) } },
  }),
  context: ({ request }) => ({ records: loader(request.headers.get("x-auth-token") ?? "") }),
  graphiql: false,
  landingPage: false,
  logging: false,
});

const server = createServer(yoga);
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
