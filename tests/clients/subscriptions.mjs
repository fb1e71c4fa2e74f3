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

function overSocket(options = {}) {
  return createClient({
    url: socketUrl,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    connectionParams: { "X-Auth-Token": TOKEN },
    ...options,
  });
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
  "graphql-sse: a final record is sent once and the stream completes": async () => {
    const client = createSseClient({ url, headers: { "x-auth-token": TOKEN }, retryAttempts: 0 });
    const results = await all(client.iterate(watch(finalId)));
    equal(results, [{ data: { screenRecord: { id: finalId, status: "UPLOAD_COMPLETED" } } }]);
  },
  "graphql-sse: a live record is sent at once": async () => {
    const client = createSseClient({ url, headers: { "x-auth-token": TOKEN }, retryAttempts: 0 });
    const iterator = client.iterate(watch(liveId));
    const { value } = await iterator.next();
    equal(value.data.screenRecord.status, "RECORDING");
    await iterator.return();
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
