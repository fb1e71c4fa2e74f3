// The caches of frontends: Apollo Client and urql with Graphcache, configured by the lines of the docs.
//
// node frontends.mjs URL PROJECT RECORD
import { readFileSync, writeFileSync } from "node:fs";

import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { Client, fetchExchange } from "@urql/core";
import { cacheExchange } from "@urql/exchange-graphcache";
import { createHash } from "node:crypto";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

import { equal, run } from "../support/checks.mjs";

const [url, projectId, id] = process.argv.slice(2);
if (!id) {
  console.error("usage: node frontends.mjs URL PROJECT RECORD");
  process.exit(2);
}
const headers = { "X-Auth-Token": "demo-token" };
const variables = { p: projectId, i: id };

/** The exports of a block of the docs. Its file is beside the packages, so that it finds them. */
async function documented(name) {
  const page = readFileSync(new URL("../../docs/FRONTENDS.md", import.meta.url), "utf8");
  const block = page.match(new RegExp(`<!-- ${name} -->\n\`\`\`js\n([^]*?)\`\`\``))?.[1];
  if (!block) throw new Error(`the docs have no block ${name}`);
  const file = new URL(`./node_modules/.documented-${name}.mjs`, import.meta.url);
  writeFileSync(file, block);
  return import(file);
}
const apolloBlock = await documented("apollo");
const urqlBlock = await documented("urql");

/** An empty cache of the documented kind. */
function apolloCache() {
  return new InMemoryCache(apolloBlock.cache.config);
}

function apollo(options = {}) {
  return new ApolloClient({ link: new HttpLink({ uri: url, headers }), cache: apolloCache(), ...options });
}

const NAME = gql`query Name($p: ID!, $i: ID!) { screenRecord(projectId: $p, id: $i) { id projectId desktopName } }`;
const STATUS = gql`query Status($p: ID!, $i: ID!) { screenRecord(projectId: $p, id: $i) { id projectId status } }`;
const LIST = gql`
  query List($p: ID!, $after: String) {
    screenRecords(projectId: $p, first: 3, after: $after) {
      pageInfo { hasNextPage endCursor }
      edges { cursor node { id projectId status } }
    }
  }
`;

/** The only error of a failed query, as Apollo Client returns it. */
async function refusal(query, variables) {
  try {
    await apollo().query({ query, variables });
  } catch (error) {
    if (CombinedGraphQLErrors.is(error)) return error.errors[0].extensions;
    throw error;
  }
  throw new Error("the query was answered");
}

const key = `ScreenRecord:{"projectId":"${projectId}","id":"${id}"}`;

const checks = {
  "Apollo Client: a recording is one entity under project and id": async () => {
    const client = apollo();
    await client.query({ query: NAME, variables });
    await client.query({ query: STATUS, variables });

    const entity = client.cache.extract()[key];
    equal(Object.keys(entity).sort(), ["__typename", "desktopName", "id", "projectId", "status"]);
  },
  "Apollo Client: pages of a list are merged without duplicates": async () => {
    const client = apollo();
    const first = await client.query({ query: LIST, variables: { p: projectId } });
    const after = first.data.screenRecords.pageInfo.endCursor;
    // As `fetchMore` does it.
    await client.query({ query: LIST, variables: { p: projectId, after }, fetchPolicy: "network-only" });

    const kept = client.cache.readQuery({ query: LIST, variables: { p: projectId } });
    const ids = kept.screenRecords.edges.map(({ node }) => node.id);
    equal(ids.length, 6);
    equal(new Set(ids).size, 6);
  },
  "Apollo Client: an error has its code and whether to retry": async () => {
    const missing = await refusal(NAME, { p: projectId, i: "00000000000000000000000000000000" });
    equal([missing.code, missing.retryable], ["NOT_FOUND", false]);

    const throttled = await refusal(NAME, { p: projectId, i: "fault-apigw-0308-throttled-429" });
    equal([throttled.code, throttled.retryable], ["RATE_LIMITED", true]);
  },
  "Apollo Client: the persisted-query link sends a hash, and the document once": async () => {
    const sent = [];
    const counting = (uri, options) => {
      sent.push(JSON.parse(options.body).query !== undefined);
      return fetch(uri, options);
    };
    const sha256 = (text) => createHash("sha256").update(text).digest("hex");
    const link = () =>
      new PersistedQueryLink({ sha256 }).concat(new HttpLink({ uri: url, headers, fetch: counting }));
    // A document that was never sent before.
    const query = gql`query ${`P${Date.now()}`}($p: ID!, $i: ID!) { screenRecord(projectId: $p, id: $i) { id projectId } }`;

    const results = [];
    for (let round = 0; round < 2; round += 1) {
      const { data } = await apollo({ link: link() }).query({ query, variables });
      results.push(data.screenRecord.projectId);
    }

    equal(results, [projectId, projectId]);
    // The hash alone, then with the document; after that the hash is enough.
    equal(sent, [false, true, false]);
  },
  "Apollo Client: a subscription updates the cache": async () => {
    const socket = createClient({
      url: url.replace(/^http/, "ws"),
      webSocketImpl: WebSocket,
      connectionParams: headers,
    });
    const client = apollo({ link: new GraphQLWsLink(socket) });
    const query = gql`subscription ($p: ID!, $i: ID!) { screenRecord(projectId: $p, id: $i) { id projectId status } }`;

    const data = await new Promise((resolve, reject) => {
      client.subscribe({ query, variables }).subscribe({ next: resolve, error: reject });
    });
    await socket.dispose();

    equal(data.data.screenRecord.id, id);
    equal(client.cache.extract()[key].status, data.data.screenRecord.status);
  },
  "urql: a recording is one entity under project and id": async () => {
    const client = new Client({
      url,
      fetchOptions: { headers },
      preferGetMethod: false,
      exchanges: [cacheExchange(urqlBlock.cache), fetchExchange],
    });
    await client.query(NAME, variables).toPromise();
    await client.query(STATUS, variables).toPromise();

    // Both pages are cached now, so the cache alone can answer.
    const both = gql`query Both($p: ID!, $i: ID!) { screenRecord(projectId: $p, id: $i) { id projectId desktopName status } }`;
    const kept = await client.query(both, variables, { requestPolicy: "cache-only" }).toPromise();
    equal([kept.data.screenRecord.id, typeof kept.data.screenRecord.status], [id, "string"]);
  },
  "urql: an error has its code and whether to retry": async () => {
    const client = new Client({ url, fetchOptions: { headers }, preferGetMethod: false, exchanges: [fetchExchange] });
    const missing = { p: projectId, i: "00000000000000000000000000000000" };

    const { error } = await client.query(NAME, missing).toPromise();

    const { code, retryable } = error.graphQLErrors[0].extensions;
    equal([code, retryable], ["NOT_FOUND", false]);
  },
};

process.exitCode = (await run(checks)) === 0 ? 0 : 1;
