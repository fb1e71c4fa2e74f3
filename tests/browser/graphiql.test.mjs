// GraphiQL as a person meets it: `GATEWAY_URL` is the page of a running `demo`, `DEMO_RECORD` a project
// and a record that it knows, `SCREENSHOTS` a folder for pictures of it.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { keepPicture, openBrowser } from "./browser.mjs";

const url = process.env.GATEWAY_URL;
assert.ok(url, "GATEWAY_URL must be the address of the gateway's GraphQL endpoint");

const PATIENCE = { timeout: 20_000 };
// The token of the demo.
const TOKEN = "demo-token";

let browser;
let page;
let seen;

before(async () => {
  browser = await openBrowser();
});

after(async () => {
  await browser?.close();
});

beforeEach(async () => {
  ({ page, seen } = await browser.openPage());
});

afterEach(async (context) => {
  await keepPicture(page, context.name);
  await page.close();
});

test("the page opens with a query, a token and the headers editor", async () => {
  await open(url);

  assert.equal(await page.title(), "GraphiQL · screen-record-gateway");
  assert.match(await textOf(".graphiql-query-editor"), /screenRecord/);
  assert.match(await textOf('.graphiql-editor-tool[aria-label="Headers"] .graphiql-editor:not(.hidden)'), /X-Auth-Token/);
});

test("the prefilled query answers with a record", async () => {
  await open(url);

  await run();

  const answer = await response(/"data"/);
  assert.match(answer, /"screenRecord": \{/);
  assert.doesNotMatch(answer, /"errors"/);
});

test("the docs explorer shows the schema", async () => {
  await open(url);

  await page.getByLabel("Show Documentation Explorer").click();
  await page.locator(".graphiql-doc-explorer").getByText("Query", { exact: true }).first().click();

  const fields = page.locator(".graphiql-doc-explorer-content");
  await fields.getByText("screenRecord", { exact: true }).first().waitFor(PATIENCE);
});

test("a subscription answers over the page's own web socket", async () => {
  const [project, id] = process.env.DEMO_RECORD.split(" ");
  const query = `subscription { screenRecord(projectId: "${project}", id: "${id}") { id status } }`;
  await open(`${url}?${new URLSearchParams({ query })}`);

  await run();

  assert.match(await response(/"data"/), /"status": "UPLOAD_COMPLETED"/);
  assert.ok(seen.requests.includes(url.replace(/^http/, "ws")), "no web socket was opened");
});

test("a syntax error is marked before anything is sent", async () => {
  await open(`${url}?${new URLSearchParams({ query: "{ screenRecord( }" })}`);

  await page.locator(".graphiql-query-editor .squiggly-error").first().waitFor(PATIENCE);
});

test("nothing is loaded from another address, and nothing breaks the page's policy", async () => {
  await open(url);
  await run();
  await response(/"data"/);

  const { host } = new URL(url);
  const elsewhere = seen.requests.filter(
    (address) => !/^(data|blob):/.test(address) && new URL(address).host !== host,
  );
  assert.deepEqual(elsewhere, []);
  assert.deepEqual(seen.complaints, []);
});

test("the token never reaches the browser's storage", async () => {
  await open(url);
  await run();
  await response(/"data"/);

  // The history is written when an answer arrives, the tabs half a second later.
  await page.waitForFunction(() => localStorage.getItem("graphiql:queries") !== null, null, PATIENCE);
  await page.waitForFunction(() => localStorage.getItem("graphiql:tabState") !== null, null, PATIENCE);

  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  assert.doesNotMatch(stored, new RegExp(TOKEN));
});

async function open(address) {
  await page.goto(address);
  // The editors are filled before the schema is there; completion and checks need it.
  await page.locator(".graphiql-query-editor .view-line").first().waitFor(PATIENCE);
  await page.locator(".graphiql-spinner").waitFor({ state: "hidden", ...PATIENCE });
}

async function run() {
  await page.locator(".graphiql-execute-button").click();
}

/** The answer pane's text once it matches. */
async function response(expected) {
  const pane = page.locator(".graphiql-response .view-lines");
  await page.waitForFunction(
    ([selector, source]) => new RegExp(source).test(document.querySelector(selector)?.textContent ?? ""),
    [".graphiql-response .view-lines", expected.source],
    PATIENCE,
  );
  return plain(await pane.textContent());
}

async function textOf(selector) {
  const lines = page.locator(selector).locator(".view-lines").first();
  await lines.waitFor(PATIENCE);
  return plain(await lines.textContent());
}

/** The editor draws blanks as no-break spaces. */
function plain(text) {
  return text.replaceAll("\u00a0", " ");
}
