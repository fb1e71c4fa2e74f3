// A browser's own EventSource in front of a running `demo`: `GATEWAY_URL` is its GraphQL endpoint,
// `DEMO_RECORD` a project and a record that it knows.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { openBrowser } from "./browser.mjs";

const url = process.env.GATEWAY_URL;
assert.ok(url, "GATEWAY_URL must be the address of the gateway's GraphQL endpoint");

let browser;

before(async () => {
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
});

/** The events that an EventSource dispatches until `complete`, and how often it connected. */
async function eventsOf(query) {
  const { page } = await browser.openPage();
  await page.goto(url);
  const events = await page.evaluate(listen, `${url}?${new URLSearchParams({ query })}`);
  await page.close();
  return events;
}

/** Runs in the page. An EventSource that sees no end of a stream connects again and gets it anew. */
function listen(address) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(address);
    const seen = { connections: 0, answers: [] };
    source.onopen = () => {
      seen.connections += 1;
      if (seen.connections > 1) {
        source.close();
        reject(new Error("the EventSource connected again: it saw no end of the stream"));
      }
    };
    source.addEventListener("next", ({ data }) => seen.answers.push(JSON.parse(data)));
    source.addEventListener("complete", ({ data }) => {
      source.close();
      resolve({ ...seen, complete: data });
    });
  });
}

test("an EventSource sees the answer to a query and the end of the stream", async () => {
  const seen = await eventsOf("{ __typename }");

  assert.deepEqual(seen, { connections: 1, answers: [{ data: { __typename: "Query" } }], complete: "" });
});

test("an EventSource sees the last event of a subscription and the end of the stream", async () => {
  const [project, id] = process.env.DEMO_RECORD.split(" ");
  const seen = await eventsOf(`subscription { screenRecord(projectId: "${project}", id: "${id}") { id } }`);

  // An EventSource cannot send a token, so the only event is the refusal.
  assert.deepEqual([seen.connections, seen.complete, seen.answers.length], [1, "", 1]);
  assert.equal(seen.answers[0].errors[0].extensions.code, "UNAUTHENTICATED");
});
