// The pictures of the documents: GraphiQL with a query and its answer, and the page of examples/web.
// `GATEWAY_URL` is the endpoint of a running `demo`, `PICTURES` the folder they go to.

import assert from "node:assert/strict";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";

import { openBrowser } from "./browser.mjs";

const { GATEWAY_URL: gateway, PICTURES: folder } = process.env;
assert.ok(gateway, "GATEWAY_URL must be the address of the gateway's GraphQL endpoint");
assert.ok(folder, "PICTURES must be the folder that the pictures go to");

const PATIENCE = { timeout: 20_000 };
const EXAMPLE = fileURLToPath(new URL("../../examples/web/", import.meta.url));
// What a page of a repository may weigh.
const LARGEST = 150 * 1024;

let browser;
let server;

before(async () => {
  await mkdir(folder, { recursive: true });
  browser = await openBrowser({ viewport: { width: 1200, height: 720 }, timezoneId: "UTC", locale: "en-GB" });
});

after(async () => {
  await browser?.close();
  await server?.close();
});

/** Writes what the page shows, as WebP. */
async function take(page, name) {
  const session = await page.context().newCDPSession(page);
  const { data } = await session.send("Page.captureScreenshot", { format: "webp", quality: 85 });
  const file = join(folder, name);
  await writeFile(file, Buffer.from(data, "base64"));
  const { size } = await stat(file);
  assert.ok(size > 5_000 && size < LARGEST, `${name} has ${size} bytes`);
}

test("GraphiQL with a query and its answer", async () => {
  const { page } = await browser.openPage();
  await page.goto(gateway);
  await page.locator(".graphiql-query-editor .view-line").first().waitFor(PATIENCE);
  await page.locator(".graphiql-spinner").waitFor({ state: "hidden", ...PATIENCE });

  await page.locator(".graphiql-execute-button").click();

  await page.locator(".graphiql-response .view-lines", { hasText: '"data"' }).waitFor(PATIENCE);
  await page.locator(".graphiql-response .view-lines", { hasText: '"UPLOAD_COMPLETED"' }).waitFor(PATIENCE);
  await page.mouse.move(600, 700);
  await take(page, "graphiql.webp");
});

test("the example page with a list", async () => {
  const vite = createRequire(join(EXAMPLE, "package.json")).resolve("vite");
  const { preview } = await import(pathToFileURL(vite));
  server = await preview({ root: EXAMPLE, logLevel: "error", preview: { host: "127.0.0.1", port: 0 } });
  const { page } = await browser.openPage();
  const address = `http://127.0.0.1:${server.httpServer.address().port}/`;

  await page.goto(address);
  await page.locator("tbody tr[data-record]").nth(5).waitFor(PATIENCE);
  await page.getByLabel("Desktop").fill("desktop02,desktop05");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.locator("tbody").getByText("desktop02").first().waitFor(PATIENCE);

  await take(page, "example-page.webp");
});
