// A browser's own EventSource in front of a running `demo`: `GATEWAY_URL` is its GraphQL endpoint,
// `DEMO_RECORD` a project and a record that it knows. An EventSource cannot send a token, so the rest is in front
// of a gateway with a key of its own, which the test starts from `GATEWAY_BINARY`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, test } from "node:test";

import { openBrowser } from "./browser.mjs";

const { GATEWAY_URL: url, GATEWAY_BINARY: binary } = process.env;
assert.ok(url, "GATEWAY_URL must be the address of the gateway's GraphQL endpoint");
assert.ok(binary, "GATEWAY_BINARY must be the gateway's program");

const FREE = "127.0.0.1:0";
const TIMELY = { timeout: 60_000 };
const KEY = ["browser-test-ak", "browser-test-secret-key"];

const started = [];
let browser;
let keyed;

before(async () => {
  browser = await openBrowser();
  keyed = await startKeyed();
});

after(async () => {
  await browser?.close();
  for (const child of started) {
    const ended = once(child, "exit");
    if (child.kill()) await ended;
  }
});

/** A gateway with a key of its own and a page, its simulated upstream, and a recording there that is over. */
async function startKeyed() {
  const upstream = await start(["simulate", `--listen=${FREE}`, `--access-key=${KEY.join(":")}`], {
    address: /^Upstream +(\S+)$/m,
    project: /^Record .*\/v2\/([^/]+)\//m,
    id: /^Record .*\/(\S+)$/m,
  });
  const gateway = await start(
    [
      ...["serve", `--listen=${FREE}`, `--admin-listen=${FREE}`, "--upstream-credentials=aksk"],
      ...[`--upstream-endpoint=${upstream.address}`, "--subscriptions-poll-interval=200ms", "--web-console"],
    ],
    { url: /(http:\S+\/graphql)/, admin: /(http:\S+)\/readyz/ },
  );
  return { ...upstream, ...gateway };
}

/** Starts a command and waits until its output has every pattern; what each one found. */
async function start(args, patterns) {
  const env = { HUAWEICLOUD_SDK_AK: KEY[0], HUAWEICLOUD_SDK_SK: KEY[1] };
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", "ignore"], env });
  started.push(child);
  let output = "";
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    output += chunk;
    const found = Object.entries(patterns).map(([name, pattern]) => [name, output.match(pattern)?.[1]]);
    if (found.every(([, text]) => text)) {
      child.stdout.resume();
      return Object.fromEntries(found);
    }
  }
  throw new Error(`${args[0]} did not say where it listens: ${output}`);
}

/** What an EventSource sees until `complete`, or until it has seen some number of answers and closes. */
async function eventsOf(gateway, query, most = Infinity) {
  const { page } = await browser.openPage();
  await page.goto(new URL("/", gateway).href);
  const address = `${gateway}?${new URLSearchParams({ query })}`;
  const events = await page.evaluate(listen, { address, most });
  return events;
}

/** Runs in the page. An EventSource that sees no end of a stream connects again and gets it anew. */
function listen({ address, most }) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(address);
    const seen = { connections: 0, answers: [] };
    const end = (more) => {
      source.close();
      resolve({ ...seen, ...more });
    };
    source.onopen = () => {
      seen.connections += 1;
      if (seen.connections > 1) {
        source.close();
        reject(new Error("the EventSource connected again: it saw no end of the stream"));
      }
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) reject(new Error("the EventSource was refused"));
    };
    source.addEventListener("next", ({ data }) => {
      seen.answers.push(JSON.parse(data));
      if (seen.answers.length === most) end({});
    });
    source.addEventListener("complete", ({ data }) => end({ complete: data }));
  });
}

/** A list of recordings, as a query answers it. */
async function listed(filter) {
  const query = `{ screenRecords(projectId: "${keyed.project}", ${filter}, first: 1000) { nodes { id } } }`;
  const answer = await fetch(keyed.url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  const { data } = await answer.json();
  return data.screenRecords.nodes.map(({ id }) => id);
}

/** Waits until the gateway watches nothing. */
async function untilUnwatched(deadline = Date.now() + 20_000) {
  const metrics = await (await fetch(`${keyed.admin}/metrics`)).text();
  const pollers = metrics.match(/^gateway_cache_pollers (\d+)$/m)?.[1];
  if (pollers === "0") return;
  assert.ok(pollers, "the metrics have no gateway_cache_pollers");
  assert.ok(Date.now() < deadline, `${pollers} are watched after the EventSource was closed`);
  await untilUnwatched(deadline);
}

test("an EventSource sees the answer to a query and the end of the stream", async () => {
  const seen = await eventsOf(url, "{ __typename }");

  assert.deepEqual(seen, { connections: 1, answers: [{ data: { __typename: "Query" } }], complete: "" });
});

test("an EventSource sees the last event of a subscription and the end of the stream", async () => {
  const [project, id] = process.env.DEMO_RECORD.split(" ");
  const seen = await eventsOf(url, `subscription { screenRecord(projectId: "${project}", id: "${id}") { id } }`);

  // An EventSource cannot send a token, so the only event is the refusal.
  assert.deepEqual([seen.connections, seen.complete, seen.answers.length], [1, "", 1]);
  assert.equal(seen.answers[0].errors[0].extensions.code, "UNAUTHENTICATED");
});

test("an EventSource sees a recording that is over once, and the end of the stream", TIMELY, async () => {
  const { url: gateway, project, id } = keyed;
  const seen = await eventsOf(gateway, `subscription { screenRecord(projectId: "${project}", id: "${id}") { id status } }`);

  const recording = { id, status: "UPLOAD_COMPLETED" };
  assert.deepEqual(seen, { connections: 1, answers: [{ data: { screenRecord: recording } }], complete: "" });
});

test("an EventSource sees each row of a list and then a change, and is not served after it closes", TIMELY, async () => {
  // No row joins or leaves this list.
  const filter = `filter: { startedBefore: "${new Date().toISOString()}" }`;
  const ids = await listed(filter);
  const fields = "kind id record { id status duration }";
  const list = `subscription { screenRecords(projectId: "${keyed.project}", ${filter}) { ${fields} } }`;

  const seen = await eventsOf(keyed.url, list, ids.length + 1);

  const changes = seen.answers.map(({ data }) => data.screenRecords);
  const changed = changes.pop();
  assert.equal(seen.connections, 1);
  assert.deepEqual(changes.map(({ kind, id }) => [kind, id]), ids.map((id) => ["ADDED", id]));
  // Recordings in progress become longer, and then have another status.
  assert.equal(changed.kind, "CHANGED");
  const before = changes.find(({ id }) => id === changed.id).record;
  assert.notDeepEqual(changed.record, before);
  await untilUnwatched();
});

test("an EventSource sees why a list cannot be watched, and the end of the stream", TIMELY, async () => {
  const seen = await eventsOf(keyed.url, 'subscription { screenRecords(projectId: "another-project") { id } }');

  assert.deepEqual([seen.connections, seen.complete, seen.answers.length], [1, "", 1]);
  assert.equal(seen.answers[0].errors[0].extensions.code, "FORBIDDEN");
});
