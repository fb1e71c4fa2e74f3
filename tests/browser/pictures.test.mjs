// The pictures of the documents: GraphiQL with a query and its answer, and the console.
// `GATEWAY_URL` is the endpoint of a running `demo`, `PICTURES` the folder they go to.

import assert from "node:assert/strict";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { openBrowser } from "./browser.mjs";

const { GATEWAY_URL: gateway, PICTURES: folder } = process.env;
assert.ok(gateway, "GATEWAY_URL must be the address of the gateway's GraphQL endpoint");
assert.ok(folder, "PICTURES must be the folder that the pictures go to");

const PATIENCE = { timeout: 20_000 };
// What a page of a repository may weigh.
const LARGEST = 150 * 1024;

let browser;

before(async () => {
  await mkdir(folder, { recursive: true });
  browser = await openBrowser({ viewport: { width: 1200, height: 720 }, timezoneId: "UTC", locale: "en-GB" });
});

after(async () => {
  await browser?.close();
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

/** Opens the console in a language and a colour scheme. */
async function openConsole(address, { language, colorScheme }) {
  const { page } = await browser.openPage();
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
  await page.addInitScript((chosen) => localStorage.setItem("console.language", chosen), language);
  await page.goto(new URL(address, gateway).href);
  return page;
}

test("the console with statistics", async () => {
  const page = await openConsole("/#/overview", { language: "en", colorScheme: "light" });
  await page.locator(".chart canvas").nth(3).waitFor(PATIENCE);
  await page.getByRole("img", { name: /desktop\d\d/ }).waitFor(PATIENCE);

  await take(page, "console-overview.webp");
});

test("the console with a list, in Chinese", async () => {
  const page = await openConsole("/#/recordings", { language: "zh", colorScheme: "light" });
  await page.locator("tbody tr[data-record]").nth(5).waitFor(PATIENCE);

  await take(page, "console-list.webp");
});

test("the console with one recording, in the dark", async () => {
  const id = process.env.DEMO_RECORD.split(" ")[1];
  const page = await openConsole(`/#/recordings/${id}`, { language: "en", colorScheme: "dark" });
  await page.locator(".operation").nth(5).waitFor(PATIENCE);
  await page.waitForFunction(() => document.querySelector("video")?.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA, null, PATIENCE);

  await take(page, "console-recording.webp");
});
