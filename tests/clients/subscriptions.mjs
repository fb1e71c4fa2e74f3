// Subscriptions with the clients graphql-ws and graphql-sse, and by hand where a client must misbehave.
//
// node subscriptions.mjs URL PROJECT FINAL-ID LIVE-ID
import { createClient as createSseClient } from "graphql-sse";
import { createClient } from "graphql-ws";
import WebSocket from "ws";

import { equal, run } from "../support/checks.mjs";

const [url, projectId, finalId, liveId] = process.argv.slice(2);
if (!liveId) {
  console.error("usage: node subscriptions.mjs URL PROJECT FINAL-ID LIVE-ID");
  process.exit(2);
}
const socketUrl = url.replace(/^http/, "ws");
const TOKEN = "demo-token";
const PROTOCOL = "graphql-transport-ws";

const watch = (id) => ({
  query: "subscription ($p: ID!, $i: ID!) { screenRecord(projectId: $p, id: $i) { id status } }",
  variables: { p: projectId, i: id },
});

/** The rows of a list and every change of them. */
const watchList = (filter, project = projectId) => ({
  query: `subscription ($p: ID!, $f: ScreenRecordFilter) {
    screenRecords(projectId: $p, filter: $f) { kind id record { id username status duration } }
  }`,
  variables: { p: project, f: filter },
});

/** No row joins or leaves the list of this filter while a check runs. */
const startedByNow = () => ({ startedBefore: new Date().toISOString() });

function overSocket(options = {}) {
  return createClient({
    url: socketUrl,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    connectionParams: { "X-Auth-Token": TOKEN },
    ...options,
  });
}

function overEvents() {
  return createSseClient({ url, headers: { "x-auth-token": TOKEN }, retryAttempts: 0 });
}

/** Ids of the recordings that a query lists. */
async function listed(filter) {
  const query = `query ($p: ID!, $f: ScreenRecordFilter) {
    screenRecords(projectId: $p, filter: $f, first: 1000) { nodes { id } }
  }`;
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", "x-auth-token": TOKEN },
    body: JSON.stringify({ query, variables: { p: projectId, f: filter } }),
  });
  const { data } = await answer.json();
  return data.screenRecords.nodes.map(({ id }) => id);
}

/** Fails if nothing comes; the simulated upstream changes every few seconds. */
function soon(promise) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error("nothing was sent for 30 s")), 30_000);
    promise.then(resolve, reject).finally(() => clearTimeout(late));
  });
}

/** The next changes of a watched list. */
async function take(count, iterator) {
  const changes = [];
  while (changes.length < count) {
    const { value, done } = await soon(iterator.next());
    if (done || value.errors) throw new Error(`the list ended: ${JSON.stringify(value)}`);
    changes.push(value.data.screenRecords);
  }
  return changes;
}

/** A client is sent each row of a list, and then a change of one of them. */
async function followsList(client) {
  const filter = startedByNow();
  const ids = await listed(filter);
  const iterator = client.iterate(watchList(filter));

  const added = await take(ids.length, iterator);
  const [changed] = await take(1, iterator);
  await iterator.return();

  equal([...new Set(added.map(({ kind }) => kind))], ["ADDED"]);
  equal(added.map(({ id }) => id), ids);
  // Recordings in progress become longer, and then have another status.
  equal([changed.kind, changed.record.id], ["CHANGED", changed.id]);
  const before = added.find(({ id }) => id === changed.id).record;
  const { status, duration } = changed.record;
  equal(status !== before.status || duration > before.duration, true);
}

async function all(iterator) {
  const results = [];
  for await (const result of iterator) results.push(result);
  return results;
}

/** Opens a socket, sends raw messages, and returns how the server closed it. */
function closed(messages, { protocol = PROTOCOL, headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(socketUrl, protocol, { headers });
    const heard = [];
    socket.on("open", () => messages.forEach((message) => socket.send(message)));
    socket.on("message", (data) => heard.push(JSON.parse(data)));
    socket.on("close", (code, reason) => resolve({ code, reason: String(reason), heard }));
    socket.on("unexpected-response", (_, response) => resolve({ status: response.statusCode }));
    socket.on("error", reject);
    setTimeout(() => reject(new Error("the socket stayed open")), 20_000).unref();
  });
}

const init = JSON.stringify({ type: "connection_init", payload: { "X-Auth-Token": TOKEN } });
const subscribe = (id, payload) => JSON.stringify({ type: "subscribe", id, payload });

const checks = {
  "graphql-ws: a final record is sent once and the subscription completes": async () => {
    const results = await all(overSocket().iterate(watch(finalId)));
    equal(results, [{ data: { screenRecord: { id: finalId, status: "UPLOAD_COMPLETED" } } }]);
  },
  "graphql-ws: a live record is sent at once": async () => {
    const client = overSocket();
    const iterator = client.iterate(watch(liveId));
    const { value } = await iterator.next();
    equal(value.data.screenRecord.status, "RECORDING");
    await iterator.return();
    await client.dispose();
  },
  "graphql-ws: a query is answered too": async () => {
    const results = await all(overSocket().iterate({ query: "{ __typename }" }));
    equal(results, [{ data: { __typename: "Query" } }]);
  },
  "graphql-ws: a document that does not validate is an error message": async () => {
    const failure = await all(overSocket().iterate({ query: "subscription { nothing }" })).catch((e) => e);
    equal(failure[0].extensions.code, "GRAPHQL_VALIDATION_FAILED");
  },
  "graphql-ws: a missing record is null with its error, and the subscription completes": async () => {
    const [result, ...more] = await all(overSocket().iterate(watch("no-such-record")));
    equal([result.data, result.errors[0].extensions.code, more], [{ screenRecord: null }, "NOT_FOUND", []]);
  },
  "graphql-ws: without a token the field has an error": async () => {
    const [result] = await all(overSocket({ connectionParams: {} }).iterate(watch(finalId)));
    equal(result.errors[0].extensions.code, "UNAUTHENTICATED");
  },
  "graphql-ws: a bearer token in connection_init is accepted": async () => {
    const connectionParams = { authorization: `Bearer ${TOKEN}` };
    const [result] = await all(overSocket({ connectionParams }).iterate(watch(finalId)));
    equal(result.data.screenRecord.id, finalId);
  },
  "graphql-ws: a list is sent row by row, newest first, and then its changes": async () => {
    const client = overSocket();
    await followsList(client);
    await client.dispose();
  },
  "graphql-ws: a filter restricts the rows of a watched list": async () => {
    const filter = { ...startedByNow(), username: "maria.garcia" };
    const ids = await listed(filter);
    const client = overSocket();
    const iterator = client.iterate(watchList(filter));

    const added = await take(ids.length, iterator);
    await iterator.return();
    await client.dispose();

    equal(ids.length > 0 && ids.length < (await listed(startedByNow())).length, true);
    equal(added.map(({ kind, id, record }) => [kind, id, record.username]), ids.map((id) => ["ADDED", id, filter.username]));
  },
  "graphql-ws: a client that leaves a list can use its socket again, and closes it with 1000": async () => {
    let sockets = 0;
    let client;
    const ended = new Promise((resolve) => {
      const on = { connected: () => (sockets += 1), closed: resolve };
      client = overSocket({ lazy: false, on });
    });
    const iterator = client.iterate(watchList(startedByNow()));
    await take(1, iterator);

    await iterator.return();
    const results = await all(client.iterate({ query: "{ __typename }" }));
    await client.dispose();

    equal(results, [{ data: { __typename: "Query" } }]);
    equal([sockets, (await ended).code], [1, 1000]);
  },
  "graphql-ws: a list that the token may not see is an error, and the subscription completes": async () => {
    const [result, ...more] = await all(overSocket().iterate(watchList(null, "another-project")));
    equal([result.data, result.errors[0].extensions.code, more], [null, "FORBIDDEN", []]);
  },
  "graphql-ws: without a token a list is an error, and the subscription completes": async () => {
    const [result, ...more] = await all(overSocket({ connectionParams: {} }).iterate(watchList(null)));
    equal([result.data, result.errors[0].extensions.code, more], [null, "UNAUTHENTICATED", []]);
  },
  "graphql-sse: a final record is sent once and the stream completes": async () => {
    const client = overEvents();
    const results = await all(client.iterate(watch(finalId)));
    equal(results, [{ data: { screenRecord: { id: finalId, status: "UPLOAD_COMPLETED" } } }]);
  },
  "graphql-sse: a live record is sent at once": async () => {
    const client = overEvents();
    const iterator = client.iterate(watch(liveId));
    const { value } = await iterator.next();
    equal(value.data.screenRecord.status, "RECORDING");
    await iterator.return();
    client.dispose();
  },
  "graphql-sse: a list is sent row by row, newest first, and then its changes": async () => {
    const client = overEvents();
    await followsList(client);
    client.dispose();
  },
  "event source: a stream can be opened by GET": async () => {
    const query = new URLSearchParams({
      query: watch(finalId).query,
      variables: JSON.stringify(watch(finalId).variables),
    });
    const headers = { accept: "text/event-stream", "x-auth-token": TOKEN };
    const answer = await fetch(`${url}?${query}`, { headers });
    const events = (await answer.text()).split("\n").filter((line) => line.startsWith("event:"));
    equal(answer.headers.get("content-type"), "text/event-stream");
    equal(events, ["event: next", "event: complete"]);
  },
  "close 4400: a malformed message": async () => equal((await closed(["{"])).code, 4400),
  "close 4400: a message of an unknown type": async () =>
    equal((await closed([init, '{"type":"start"}'])).code, 4400),
  "close 4401: a subscription before connection_init": async () =>
    equal((await closed([subscribe("1", watch(finalId))])).code, 4401),
  "close 4403: a malformed token": async () => {
    const payload = { "X-Auth-Token": "a\u0000b" };
    equal((await closed([JSON.stringify({ type: "connection_init", payload })])).code, 4403);
  },
  "an unsupported protocol is not selected": async () => {
    const problem = await closed([], { protocol: "graphql-ws" }).catch((error) => error.message);
    equal(problem, "Server sent no subprotocol");
  },
  "close 4406: no common protocol": async () => {
    const headers = { "sec-websocket-protocol": "graphql-ws" };
    equal((await closed([], { protocol: [], headers })).code, 4406);
  },
  "close 4409: an id that is in use": async () => {
    const twice = [subscribe("1", watch(liveId)), subscribe("1", watch(liveId))];
    const { code, reason } = await closed([init, ...twice]);
    equal([code, reason], [4409, "Subscriber for 1 already exists"]);
  },
  "close 1009: a message over the limit": async () => equal((await closed([init, "x".repeat(300 * 1024)])).code, 1009),
  "a close is answered with the client's own code": async () => {
    const socket = new WebSocket(socketUrl, PROTOCOL);
    socket.on("open", () => socket.close(1000, "done"));
    const code = await new Promise((resolve) => socket.on("close", resolve));
    equal(code, 1000);
  },
  "a handshake of another version is 426 with the supported one": async () => {
    const socket = new WebSocket(socketUrl, PROTOCOL, { protocolVersion: 8 });
    const response = await new Promise((resolve) => socket.on("unexpected-response", (_, answer) => resolve(answer)));
    equal([response.statusCode, response.headers["sec-websocket-version"]], [426, "13"]);
  },
  "close 4403: a wrong credential is refused, a null one ignored": async () => {
    const none = JSON.stringify({ type: "connection_init", payload: { "X-Auth-Token": null } });
    const wrong = JSON.stringify({ type: "connection_init", payload: { "X-Auth-Token": 7 } });
    const { heard } = await closed([none, "{"]);
    equal([heard[0].type, (await closed([wrong])).code], ["connection_ack", 4403]);
  },
  "close 4429: a second connection_init": async () => equal((await closed([init, init])).code, 4429),
  "close 4408: no connection_init in time": async () => equal((await closed([])).code, 4408),
  "ping is answered with its payload": async () => {
    const ping = JSON.stringify({ type: "ping", payload: { a: 1 } });
    const { heard } = await closed([init, ping, "{"]);
    equal(heard.map(({ type }) => type), ["connection_ack", "pong"]);
    equal(heard[1].payload, { a: 1 });
  },
  "a page of another site cannot open a socket": async () => {
    const headers = { origin: "https://elsewhere.example" };
    equal((await closed([], { headers })).status, 403);
  },
};

const failed = await run(checks);
process.exit(failed === 0 ? 0 : 1);
