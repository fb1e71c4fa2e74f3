// The page of examples/web as a person meets it, in front of a running `demo`: `GATEWAY_URL` is its GraphQL
// endpoint, `SCREENSHOTS` a folder for pictures.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { openBrowser } from "./browser.mjs";

assert.ok(process.env.GATEWAY_URL, "GATEWAY_URL must be the address of the gateway's GraphQL endpoint");

const PATIENCE = { timeout: 20_000 };
const EXAMPLE = fileURLToPath(new URL("../../examples/web/", import.meta.url));

let server;
let url;
let browser;
let page;
let seen;

before(async () => {
  const vite = createRequire(join(EXAMPLE, "package.json")).resolve("vite");
  const { preview } = await import(pathToFileURL(vite));
  server = await preview({ root: EXAMPLE, logLevel: "error", preview: { host: "127.0.0.1", port: 0 } });
  url = `http://127.0.0.1:${server.httpServer.address().port}/`;
  browser = await openBrowser({ timezoneId: "Asia/Shanghai", locale: "en-GB" });
});

after(async () => {
  await browser?.close();
  await server?.close();
});

beforeEach(async () => {
  ({ page, seen } = await browser.openPage());
});

afterEach(async (context) => {
  const folder = process.env.SCREENSHOTS;
  if (folder) {
    await mkdir(folder, { recursive: true });
    await page.screenshot({ path: join(folder, `web-${context.name.replaceAll(/\W+/g, "-")}.png`), fullPage: true });
  }
  await page.close();
});

const rows = () => page.locator("tbody tr[data-record]");
const total = () => page.locator(".total");
const text = (locator) => locator.textContent(PATIENCE);

/** Opens the list and waits for it. */
async function openList() {
  await page.goto(url);
  await rows().first().waitFor(PATIENCE);
}

async function openRecord(id) {
  await page.goto(`${url}#/records/${id}`);
}

/** Narrows the list to one status and waits for that. */
async function narrow(status) {
  await page.getByLabel("Status").selectOption(status);
  await page.getByRole("button", { name: "Apply" }).click();
  const narrowed = (wanted) => {
    const cells = [...document.querySelectorAll("td[data-status]")];
    return cells.length > 0 && cells.every((cell) => cell.dataset.status === wanted);
  };
  await page.waitForFunction(narrowed, status, PATIENCE);
}

/** The ids of the rows that are shown. */
const ids = () => rows().evaluateAll((found) => found.map((row) => row.dataset.record));

test("the list appears with the number of all recordings", async () => {
  await openList();

  assert.match(await text(total()), /^25 of 25\d recordings$/);
  assert.deepEqual(seen.complaints, []);
});

test("a filter narrows the list", async () => {
  await openList();

  await narrow("UPLOAD_FAILED");

  const [, shown, all] = (await text(total())).match(/^(\d+) of (\d+) /);
  assert.ok(Number(all) < 250 && Number(shown) === (await ids()).length, `${shown} of ${all}`);
});

test("load more appends, and shows nothing twice", async () => {
  await openList();
  const first = await ids();

  await page.getByRole("button", { name: "Load more" }).click();
  await rows().nth(49).waitFor(PATIENCE);

  const both = await ids();
  assert.equal(both.length, 50);
  assert.deepEqual(both.slice(0, 25), first);
  assert.equal(new Set(both).size, 50);
});

test("a recording shows its times in the viewer's zone, its size in human units and a mark for each operation", async () => {
  await openList();
  await narrow("UPLOAD_COMPLETED");

  await rows().first().getByRole("link").click();

  assert.match(await text(page.locator('[data-field="startTime"]')), /GMT\+8$/);
  assert.match(await text(page.locator('[data-field="size"]')), /^[\d.,]+ [KMGT]iB$/);
  assert.match(await text(page.locator('[data-field="duration"]')), /^\d+:\d\d:\d\d$/);
  await page.locator("video").waitFor(PATIENCE);
  assert.match(await page.locator("video").getAttribute("src"), /^https:/);
  const listed = await page.locator(".operations li").count();
  assert.ok(listed > 0);
  assert.equal(await page.locator(".mark").count(), listed);
});

test("the time line can be narrowed to one kind of operation", async () => {
  await openList();
  await narrow("UPLOAD_COMPLETED");
  await rows().first().getByRole("link").click();
  await page.locator(".operations li").first().waitFor(PATIENCE);
  const all = await page.locator(".operations li").count();

  await page.getByLabel("Show").selectOption("FILE");

  const files = await page.locator(".operations li strong").allTextContents();
  assert.ok(files.length > 0 && files.length < all, `${files.length} of ${all}`);
  assert.ok(files.every((event) => event.startsWith("FILE_")), files.join());
});

test("a recording that runs is live, and a change shows as soon as it comes", async () => {
  let subscribed;
  const asked = new Promise((resolve) => (subscribed = resolve));
  await page.routeWebSocket(/\/graphql$/, (socket) => {
    socket.onMessage((message) => {
      const { type, id } = JSON.parse(message);
      if (type === "connection_init") socket.send(JSON.stringify({ type: "connection_ack" }));
      if (type === "subscribe") subscribed({ socket, id });
    });
  });
  await openList();
  await narrow("RECORDING");
  await rows().first().getByRole("link").click();
  await page.locator(".live").waitFor(PATIENCE);
  assert.equal(await text(page.locator("main [data-status]")), "Recording");
  const { socket, id } = await asked;
  const shown = await text(page.locator('[data-field="id"]'));

  const changed = {
    __typename: "ScreenRecord",
    id: shown,
    projectId: "089b2f9a3d80d3062f24c00ca4ed5cbd",
    status: "UPLOAD_COMPLETED",
    rawStatus: "UPLOAD_COMPLETED",
    endTime: "2026-01-01T00:00:00.000Z",
    updateTime: "2026-01-01T00:00:00.000Z",
    duration: 61,
    size: 2048,
  };
  socket.send(JSON.stringify({ type: "next", id, payload: { data: { screenRecord: changed } } }));

  await page.locator('main [data-status="UPLOAD_COMPLETED"]').waitFor(PATIENCE);
  assert.equal(await page.locator(".live").count(), 0);
  assert.equal(await text(page.locator('[data-field="size"]')), "2 KiB");
});

test("the gateway's own socket answers the page", async () => {
  const next = page.waitForEvent("websocket", { ...PATIENCE, predicate: (socket) => socket.url().endsWith("/graphql") });
  await openRecord("sample-status-recording");

  const frame = await (await next).waitForEvent("framereceived", {
    ...PATIENCE,
    predicate: ({ payload }) => JSON.parse(payload).type === "next",
  });

  assert.equal(JSON.parse(frame.payload).payload.data.screenRecord.status, "RECORDING");
});

test("a missing recording is explained without a retry", async () => {
  await openRecord("00000000000000000000000000000000");

  const note = page.locator('[data-code="NOT_FOUND"]');
  assert.match(await text(note), /There is no such recording/);
  assert.equal(await note.getByRole("button").count(), 0);
});

test("a temporary error can be retried, which sends the query again", async () => {
  await openRecord("fault-apigw-0308-throttled-429");
  const note = page.locator('[data-code="RATE_LIMITED"]').first();
  await note.waitFor(PATIENCE);

  const again = page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/graphql"), PATIENCE);
  await note.getByRole("button", { name: "Retry" }).click();

  assert.match((await again).postData(), /fault-apigw-0308-throttled-429/);
});

test("a retry waits as long as the upstream asks", async () => {
  await openRecord("fault-apigw-0308-throttled-with-retry-after-429");

  const button = page.locator('[data-code="RATE_LIMITED"]').first().getByRole("button");
  await button.waitFor(PATIENCE);

  assert.ok(await button.isDisabled());
});

test("an unreadable field shows its error, and the rest is shown", async () => {
  await openRecord("sample-size-not-a-number");

  assert.match(await text(page.locator('[data-field="size"] em')), /cannot be read/);
  assert.notEqual(await text(page.locator('[data-field="username"]')), "–");
});

test("a wrong token is explained, and stored nowhere", async () => {
  await openList();

  await page.getByLabel("Token").fill("not-a-token");
  await page.getByRole("button", { name: "Use" }).click();

  assert.match(await text(page.locator('[data-code="UNAUTHENTICATED"]')), /Enter a valid token/);
  const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  assert.doesNotMatch(stored, /not-a-token|demo-token/);
});

test("the page fits a phone", async () => {
  await page.setViewportSize({ width: 390, height: 844 });
  await openList();

  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
});
