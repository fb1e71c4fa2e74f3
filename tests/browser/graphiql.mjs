// GraphiQL in a real browser: it renders, loads nothing from elsewhere, breaks no rule of its content
// security policy, shows the schema, and runs the query it starts with.
//
// node graphiql.mjs http://127.0.0.1:8080/graphql [FOLDER FOR SCREENSHOTS]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [url, screenshots] = process.argv.slice(2);
if (!url) {
  console.error("usage: node graphiql.mjs URL [FOLDER]");
  process.exit(2);
}

const profile = mkdtempSync(join(tmpdir(), "graphiql-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
  viewport: { width: 1280, height: 800 },
});
const page = await browser.newPage();
const elsewhere = [];
const complaints = [];
page.on("request", (request) => {
  const { origin, protocol } = new URL(request.url());
  if (origin !== new URL(url).origin && !["data:", "blob:"].includes(protocol)) {
    elsewhere.push(request.url());
  }
});
page.on("console", (message) => {
  if (message.type() === "error") complaints.push(message.text());
});
page.on("pageerror", (error) => complaints.push(String(error)));

const checks = {
  "the page renders": async () => {
    await page.goto(url, { waitUntil: "load" });
    await page.locator(".graphiql-container").waitFor({ timeout: 30_000 });
    await page.locator(".graphiql-query-editor .monaco-editor").waitFor({ timeout: 30_000 });
  },
  "the query it starts with is in the editor": async () => {
    await page.locator(".graphiql-query-editor").getByText("screenRecord").waitFor();
  },
  "the query it starts with is answered": async () => {
    await page.locator("button.graphiql-execute-button").click();
    await page.locator(".result-window").getByText("UPLOAD_COMPLETED").waitFor({ timeout: 30_000 });
  },
  "the schema is shown": async () => {
    await page.getByRole("button", { name: /documentation explorer/i }).first().click();
    await page.locator(".graphiql-doc-explorer").getByText("Query").first().waitFor();
  },
  "nothing was loaded from elsewhere": async () => {
    if (elsewhere.length > 0) throw new Error(elsewhere.join(", "));
  },
  "the browser has nothing to complain about": async () => {
    if (complaints.length > 0) throw new Error(complaints.join("\n"));
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}: ${error.message}`);
  }
}
if (screenshots) await page.screenshot({ path: join(screenshots, "graphiql.png") });
await browser.close();
rmSync(profile, { recursive: true, force: true });
console.log(`${Object.keys(checks).length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
