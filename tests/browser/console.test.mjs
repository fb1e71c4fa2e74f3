// The console as a person meets it, in front of a running `demo`: `GATEWAY_URL` is its GraphQL endpoint,
// `DEMO_RECORD` a project and a record that it knows, `SCREENSHOTS` a folder for pictures.

import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { openBrowser } from "./browser.mjs";

assert.ok(process.env.GATEWAY_URL, "GATEWAY_URL must be the address of the gateway's GraphQL endpoint");

const [PROJECT, UPLOADED] = process.env.DEMO_RECORD.split(" ");
const PATIENCE = { timeout: 20_000 };
const url = new URL("/", process.env.GATEWAY_URL).href;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser;
let page;
let seen;

before(async () => {
  browser = await openBrowser({ timezoneId: "Asia/Shanghai", locale: "en-GB" });
});

after(async () => {
  await browser?.close();
});

beforeEach(async () => {
  ({ page, seen } = await browser.openPage());
});

afterEach(async (context) => {
  await takePicture(context.name);
  // All pages of the browser share it.
  if (page.url().startsWith(url)) await page.evaluate(() => localStorage.clear());
  await page.close();
});

async function takePicture(name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `console-${name.replaceAll(/\W+/g, "-")}.png`), fullPage: true });
}

const rows = () => page.locator("tbody tr[data-record]");
const total = () => page.locator(".total");
const text = (locator) => locator.textContent(PATIENCE);

/** Opens the list and waits for it. */
async function openList(query = "") {
  await page.goto(`${url}#/recordings${query}`);
  await rows().first().waitFor(PATIENCE);
}

async function openRecord(id) {
  await page.goto(`${url}#/recordings/${id}`);
}

/** Narrows the list to one status and waits for that. */
async function narrow(status) {
  await page.getByLabel("Status").selectOption(status);
  await page.getByRole("button", { name: "Apply" }).click();
  await waitForStatus(status);
}

function waitForStatus(status) {
  const narrowed = (wanted) => {
    const cells = [...document.querySelectorAll("td [data-status]")];
    return cells.length > 0 && cells.every((cell) => cell.dataset.status === wanted);
  };
  return page.waitForFunction(narrowed, status, PATIENCE);
}

/** Opens a recording that has a video and operations. */
async function openUploaded() {
  await openRecord(UPLOADED);
  await page.locator(".operation").first().waitFor(PATIENCE);
}

/** The ids of the rows that are shown. */
const ids = () => rows().evaluateAll((found) => found.map((row) => row.dataset.record));

test("the list appears with the number of all recordings", async () => {
  await openList();

  assert.match(await text(total()), /^25 of \d{3} recordings$/);
  assert.deepEqual(seen.complaints, []);
});

test("everything comes from the gateway, and nothing breaks the page's policy", async () => {
  await openUploaded();
  await page.reload();
  await page.locator(".operation").first().waitFor(PATIENCE);

  const { host } = new URL(url);
  const video = await page.locator("video").getAttribute("src");
  const elsewhere = seen.requests.filter((address) => new URL(address).host !== host && address !== video);
  assert.deepEqual(elsewhere, []);
  assert.deepEqual(seen.complaints.filter((text) => /policy/i.test(text)), []);
});

test("a filter narrows the list, and Back takes it away", async () => {
  await openList();

  await narrow("UPLOAD_FAILED");

  const [, shown, all] = (await text(total())).match(/^(\d+) of (\d+) /);
  assert.ok(Number(all) < 150 && Number(shown) === (await ids()).length, `${shown} of ${all}`);
  await page.goBack();
  await page.waitForFunction(() => /of \d{3} /.test(document.querySelector(".total").textContent), null, PATIENCE);
  assert.equal(await page.getByLabel("Status").inputValue(), "");
});

test("a link restores filters, and they can be cleared", async () => {
  await openList("?status=REC_FAILED");
  await waitForStatus("REC_FAILED");
  assert.equal(await page.getByLabel("Status").inputValue(), "REC_FAILED");

  await page.getByRole("button", { name: "Clear" }).click();

  await page.waitForFunction(() => /of \d{3} /.test(document.querySelector(".total").textContent), null, PATIENCE);
});

test("a filter that nothing matches says so", async () => {
  await page.goto(`${url}#/recordings?user=nobody-is-called-this`);

  assert.match(await text(page.locator(".empty")), /No recording matches/);
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
  await openUploaded();

  assert.match(await text(page.locator('[data-field="startTime"]')), /GMT\+8$/);
  assert.match(await text(page.locator('[data-field="size"]')), /^[\d.,]+ [KMGT]iB$/);
  assert.match(await text(page.locator('[data-field="duration"]')), /^\d+:\d\d:\d\d$/);
  assert.match(await page.locator("video").getAttribute("src"), /^https?:/);
  const listed = await page.locator(".operation").count();
  assert.ok(listed > 0);
  assert.equal(await page.locator(".mark").count(), listed);
});

test("the operations can be narrowed to one kind", async () => {
  await openUploaded();
  const all = await page.locator(".operation").count();

  await page.getByLabel("Show").selectOption("FILE");

  const files = await page.locator(".operation .level").allTextContents();
  assert.ok(files.length > 0 && files.length < all, `${files.length} of ${all}`);
  assert.ok(files.every((event) => /\bFILE_/.test(event)), files.join());
});

test("a recording that runs is live, and a change shows as soon as it comes", async () => {
  let subscribed;
  const asked = new Promise((resolve) => (subscribed = resolve));
  await page.routeWebSocket(/\/graphql$/, (socket) => {
    socket.onMessage((message) => {
      const { type, id, payload } = JSON.parse(message);
      if (type === "connection_init") socket.send(JSON.stringify({ type: "connection_ack" }));
      if (type === "subscribe" && /screenRecord\(/.test(payload.query)) subscribed({ socket, id });
    });
  });
  await openList("?status=RECORDING");
  await waitForStatus("RECORDING");
  await rows().first().getByRole("link").click();
  const { socket, id } = await asked;
  await page.locator(".live.open").waitFor(PATIENCE);
  assert.equal(await text(page.locator("main [data-status]")), "Recording");

  const changed = {
    __typename: "ScreenRecord",
    id: await text(page.locator('[data-field="id"]')),
    projectId: PROJECT,
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
  assert.match(await text(note), /There is no such recording.*Go back to the list/);
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

test("a retry that succeeds shows the list", async () => {
  let isDown = true;
  await page.route(/\/graphql$/, (route) => (isDown ? route.abort() : route.continue()));
  await page.goto(`${url}#/recordings`);
  const note = page.locator('[data-code="NETWORK"]').first();
  assert.match(await text(note), /cannot be reached/);

  isDown = false;
  await note.getByRole("button", { name: "Retry" }).click();

  await rows().first().waitFor(PATIENCE);
  assert.equal(await page.locator(".problem").count(), 0);
});

test("a retry waits as long as the upstream asks", async () => {
  await openRecord("fault-apigw-0308-throttled-with-retry-after-429");

  const button = page.locator('[data-code="RATE_LIMITED"]').first().getByRole("button", { name: /^Retry in \d+ s$/ });
  await button.waitFor(PATIENCE);

  assert.ok(await button.isDisabled());
});

test("an unreadable field shows its error, and the rest is shown", async () => {
  await openRecord("sample-size-not-a-number");

  assert.match(await text(page.locator('[data-field="size"] em')), /cannot be read/);
  assert.notEqual(await text(page.locator('[data-field="username"]')), "–");
});

test("a wrong token is explained, and a right one helps", async () => {
  await openList();
  await useToken("not-a-token");
  const note = page.locator('[data-code="UNAUTHENTICATED"]').first();
  assert.match(await text(note), /Enter a valid token/);

  await note.getByRole("button", { name: "Enter a token" }).click();
  await page.getByRole("dialog").getByLabel("Token").fill("demo-token");
  await page.getByRole("dialog").getByRole("button", { name: "Use" }).click();

  await rows().first().waitFor(PATIENCE);
});

test("a token lasts as long as the tab and goes nowhere else", async () => {
  await openList();
  await useToken("not-a-token");
  await page.locator('[data-code="UNAUTHENTICATED"]').first().waitFor(PATIENCE);

  await page.reload();

  await page.locator('[data-code="UNAUTHENTICATED"]').first().waitFor(PATIENCE);
  const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, document.cookie, location.href]));
  assert.doesNotMatch(stored, /not-a-token|demo-token/);
  const other = await browser.openPage();
  await other.page.goto(`${url}#/recordings`);
  await other.page.locator("tbody tr[data-record]").first().waitFor(PATIENCE);
  await other.page.close();
});

async function useToken(token) {
  await page.getByRole("button", { name: "Access" }).click();
  await page.getByRole("dialog").getByLabel("Token").fill(token);
  await page.getByRole("dialog").getByRole("button", { name: "Use" }).click();
}

test("without a project the page asks for one", async () => {
  await page.route(url, async (route) => {
    const answer = await route.fetch();
    const body = (await answer.text()).replace(/(name="console-defaults" content=")[^"]*/, "$1{}");
    await route.fulfill({ response: answer, body });
  });
  await page.goto(url);

  await page.getByLabel("Project").fill(PROJECT);
  await page.getByLabel("Token").fill("demo-token");
  await page.getByRole("button", { name: "Use" }).click();

  await page.getByRole("link", { name: "Recordings" }).first().click();
  await rows().first().waitFor(PATIENCE);
});

test("the keyboard alone opens a recording and moves through its operations", async () => {
  await openList();

  await tabTo(() => document.activeElement.name === "id");
  await page.keyboard.type(UPLOADED);
  await page.keyboard.press("Enter");
  await page.locator(".operation").nth(1).waitFor(PATIENCE);
  await tabTo(() => document.activeElement.matches(".operation"));
  await page.keyboard.press("ArrowDown");

  const focused = await page.evaluate(() => [...document.querySelectorAll(".operation")].indexOf(document.activeElement));
  assert.equal(focused, 1);
  await page.keyboard.press("Enter");
  await page.locator('li[aria-current="step"]').waitFor(PATIENCE);
});

/** Presses Tab until the focus is where it should be. */
async function tabTo(isThere) {
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(isThere)) return;
  }
  assert.fail("Tab does not reach it");
}

test("the page speaks Chinese to those who prefer it, and switches", async () => {
  const chinese = await openBrowser({ locale: "zh-CN" });
  try {
    const { page } = await chinese.openPage();
    await page.goto(`${url}#/recordings`);
    await page.getByText(/共 \d{3} 条录像/).waitFor(PATIENCE);
    assert.equal(await page.locator("html").getAttribute("lang"), "zh-CN");

    await page.getByLabel("语言").selectOption("en");

    await page.getByText(/of \d{3} recordings/).waitFor(PATIENCE);
    await page.reload();
    await page.getByText(/of \d{3} recordings/).waitFor(PATIENCE);
    assert.equal(await page.locator("html").getAttribute("lang"), "en");
  } finally {
    await chinese.close();
  }
});

/** The views that are checked in each look. */
const VIEWS = {
  list: () => openList(),
  record: () => openUploaded(),
  error: async () => {
    await openRecord("00000000000000000000000000000000");
    await page.locator(".problem").waitFor(PATIENCE);
  },
  access: async () => {
    await openList();
    await page.locator("header button").click();
    await page.getByRole("dialog").waitFor(PATIENCE);
  },
};

for (const colorScheme of ["light", "dark"]) {
  for (const language of ["en", "zh"]) {
    for (const width of [1280, 390]) {
      test(`axe finds nothing: ${colorScheme}, ${language}, ${width} wide`, async () => {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        await page.setViewportSize({ width, height: 844 });
        await page.addInitScript((chosen) => localStorage.setItem("console.language", chosen), language);
        for (const [name, open] of Object.entries(VIEWS)) {
          await page.goto("about:blank");
          await open();

          assert.deepEqual(await findings(), [], name);
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
          assert.ok(overflow <= 0, `${name} is ${overflow} pixels too wide`);
          await takePicture(`look ${name} ${colorScheme} ${language} ${width}`);
        }
      });
    }
  }
}

/** What axe-core complains about, with the best practices. */
async function findings() {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
}

test("axe does find a fault that is put into the page", async () => {
  await openList();
  await page.evaluate(() => document.querySelector("main").append(document.createElement("img")));

  assert.match((await findings()).join(), /image-alt/);
});
