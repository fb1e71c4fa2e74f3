// The console as a person meets it, in front of a running `demo`: `GATEWAY_URL` is its GraphQL endpoint,
// `DEMO_RECORD` a project and a record that it knows, `SCREENSHOTS` a folder for pictures.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { keepPicture, openBrowser } from "./browser.mjs";

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

const takePicture = (name) => keepPicture(page, `console-${name}`, { fullPage: true });

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

/** Narrows the list to failed uploads and waits for that. */
async function narrow() {
  await page.getByLabel("Upload failed").check();
  await page.getByRole("button", { name: "Apply" }).click();
  await waitForStatus("UPLOAD_FAILED");
}

/** The next operation of a name that the page sends, with its variables. */
async function nextOperation(name) {
  const request = await page.waitForRequest((one) => one.postDataJSON()?.operationName === name, PATIENCE);
  return request.postDataJSON();
}

/** Answers an operation of a name in the gateway's place. */
function answerWith(name, data) {
  return page.route(/\/graphql$/, (route) => {
    const { operationName, variables } = route.request().postDataJSON() ?? {};
    return operationName === name ? route.fulfill({ json: { data: data(variables) } }) : route.fallback();
  });
}

/** Takes the place of the gateway's socket, from the next page on; `subscribed` resolves with the first subscription to a root field. */
async function takeSocket(field) {
  let resolve;
  const subscribed = new Promise((settle, reject) => {
    resolve = settle;
    setTimeout(() => reject(new Error(`nobody subscribed to ${field}`)), PATIENCE.timeout).unref();
  });
  await page.routeWebSocket(/\/graphql$/, (socket) => {
    socket.onMessage((message) => {
      const { type, id, payload } = JSON.parse(message);
      if (type === "connection_init") socket.send(JSON.stringify({ type: "connection_ack" }));
      if (type !== "subscribe" || !payload.query.includes(` ${field}(`)) return;
      const send = (value) => socket.send(JSON.stringify({ type: "next", id, payload: { data: { [field]: value } } }));
      resolve({ send, drop: () => socket.close({ code: 1012 }) });
    });
  });
  return { subscribed };
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

  await narrow();

  const [, shown, all] = (await text(total())).match(/^(\d+) of (\d+) /);
  assert.ok(Number(all) < 150 && Number(shown) === (await ids()).length, `${shown} of ${all}`);
  await page.goBack();
  await page.waitForFunction(() => /of \d{3} /.test(document.querySelector(".total").textContent), null, PATIENCE);
  assert.equal(await page.getByLabel("Upload failed").isChecked(), false);
});

test("a link restores filters, and they can be cleared", async () => {
  await openList("?status=REC_FAILED");
  await waitForStatus("REC_FAILED");
  assert.equal(await page.getByLabel("Recording failed").isChecked(), true);

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
  const { subscribed } = await takeSocket("screenRecord");
  await openRecord(await runningRecord());
  const { send } = await subscribed;
  await page.locator(".live.open").waitFor(PATIENCE);
  assert.equal(await text(page.locator("main [data-status]")), "Recording");

  send({
    __typename: "ScreenRecord",
    id: await text(page.locator('[data-field="id"]')),
    projectId: PROJECT,
    status: "UPLOAD_COMPLETED",
    rawStatus: "UPLOAD_COMPLETED",
    endTime: "2026-01-01T00:00:00.000Z",
    updateTime: "2026-01-01T00:00:00.000Z",
    duration: 61,
    size: 2048,
  });

  await page.locator('main [data-status="UPLOAD_COMPLETED"]').waitFor(PATIENCE);
  assert.equal(await page.locator(".live").count(), 0);
  assert.equal(await text(page.locator('[data-field="size"]')), "2 KiB");
});

/** The id of a recording that runs, of those the one that has run longest. */
async function runningRecord() {
  const answer = await fetch(process.env.GATEWAY_URL, {
    method: "POST",
    headers: { "content-type": "application/json", "x-auth-token": "demo-token" },
    body: JSON.stringify({
      query: `{ screenRecords(projectId: "${PROJECT}", filter: { status: RECORDING }) { nodes { id } } }`,
    }),
  });
  const { data } = await answer.json();
  return data.screenRecords.nodes.at(-1).id;
}

/** A change of the list, as the subscription tells it. */
function change(kind, id, fields) {
  const record = kind === "REMOVED" ? null : {
    __typename: "ScreenRecord", id, projectId: PROJECT, desktopName: "desktop99", username: "somebody",
    status: "RECORDING", rawStatus: "RECORDING", type: "FULL", rawType: "FULL",
    startTime: new Date().toISOString(), duration: 1, size: 0, ...fields,
  };
  return { __typename: "ScreenRecordChange", kind, id, record };
}

test("a row changes where it is, and new and removed ones are announced", async () => {
  const { subscribed } = await takeSocket("screenRecords");
  await openList();
  const { send } = await subscribed;
  const [first, second] = await ids();

  send(change("CHANGED", first, { status: "UPLOAD_FAILED", rawStatus: "UPLOAD_FAILED" }));
  send(change("ADDED", "a-new-one"));
  send(change("REMOVED", second));

  await page.locator(`[data-record="${first}"] [data-status="UPLOAD_FAILED"]`).waitFor(PATIENCE);
  assert.match(await text(page.locator(".notice")), /^1 new recording · 1 recording left the list/);
  assert.equal(await rows().count(), 25);
  const asked = nextOperation("List");
  await page.getByRole("button", { name: "Refresh the list" }).click();
  assert.equal((await asked).variables.after, null);
});

test("a lost socket is told of, and comes back by itself", async () => {
  const { subscribed } = await takeSocket("screenRecords");
  await openList();
  const { drop } = await subscribed;
  await page.locator(".live.open").waitFor(PATIENCE);

  drop();

  await page.locator(".live.lost").waitFor(PATIENCE);
  await page.locator(".live.open").waitFor(PATIENCE);
});

test("live updates can be switched off", async () => {
  await openList();
  await page.locator(".live.open").waitFor(PATIENCE);

  await page.getByLabel("Live updates").uncheck();

  assert.equal(await page.locator(".live").count(), 0);
});

test("the gateway's own socket answers the page of a recording, also after the list", async () => {
  await openList();
  const told = nextMessage("screenRecord");

  await page.evaluate(() => (window.location.hash = "#/recordings/sample-status-recording"));

  assert.equal((await told).status, "RECORDING");
});

/** What the gateway's socket tells next of a field of subscriptions. */
function nextMessage(field) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`nothing was told of ${field}`)), PATIENCE.timeout).unref();
    page.on("websocket", (socket) =>
      socket.on("framereceived", ({ payload }) => {
        const { type, payload: message } = JSON.parse(payload);
        if (type === "next" && message.data?.[field]) resolve(message.data[field]);
      }),
    );
  });
}

test("the gateway's own socket tells the rows of the list", async () => {
  const told = nextMessage("screenRecords");

  await openList();

  assert.equal((await told).kind, "ADDED");
  assert.equal(await page.locator(".notice").count(), 0);
});

test("every filter reaches the gateway", async () => {
  await openList();
  await page.getByText("More filters").click();
  const filters = page.getByRole("form", { name: "Filters" });
  await filters.getByLabel("Recording failed").check();
  await filters.getByLabel("Upload failed").check();
  await filters.getByLabel("Whole session").check();
  await filters.getByLabel("Users").fill("alice, bob");
  await filters.getByLabel("Desktop names").fill("desktop01, desktop02");
  await filters.getByLabel("Desktop ids").fill("d1,d2");
  await filters.getByLabel("Desktop pool id").fill("pool");
  await filters.getByLabel("Policy id").fill("policy");
  await filters.getByLabel("Started after").fill("2026-01-01T08:00");
  await filters.getByLabel("Started before").fill("2026-01-02T08:00");
  await filters.getByLabel("Running at").fill("2026-01-01T20:00");
  await filters.getByLabel("At least, minutes").fill("1.5");
  await filters.getByLabel("At most, minutes").fill("60");
  await filters.getByLabel("Order").selectOption("Oldest first");

  const asked = nextOperation("List");
  await filters.getByRole("button", { name: "Apply" }).click();

  const { filter, orderBy } = (await asked).variables;
  assert.deepEqual(filter, {
    statuses: ["REC_FAILED", "UPLOAD_FAILED"],
    types: ["FULL"],
    usernames: ["alice", "bob"],
    desktopNames: ["desktop01", "desktop02"],
    desktopIds: ["d1", "d2"],
    desktopPoolId: "pool",
    policyId: "policy",
    startedAfter: "2026-01-01T00:00:00.000Z",
    startedBefore: "2026-01-02T00:00:00.000Z",
    runningAt: "2026-01-01T12:00:00.000Z",
    minDuration: 90,
    maxDuration: 3600,
  });
  assert.deepEqual(orderBy, { direction: "ASC" });
  assert.match(await text(page.locator(".empty")), /No recording matches/);
});

/** Opens the overview and waits for its charts. */
async function openOverview(query = "") {
  await page.goto(`${url}#/overview${query}`);
  await page.locator(".chart canvas").nth(3).waitFor(PATIENCE);
}

/** A chart's numbers, which its table holds. */
async function numbersOf(title) {
  const chart = page.getByRole("region", { name: title }).first();
  await chart.getByText("Show as a table").click();
  return chart.locator("tbody tr").evaluateAll((found) =>
    found.map((row) => [...row.children].map((cell) => cell.textContent)),
  );
}

const add = (numbers) => numbers.reduce((sum, number) => sum + Number(number.replaceAll(",", "")), 0);

test("the overview counts the recordings of the list by day, status, user and desktop", async () => {
  await openOverview();

  const all = add([await text(page.locator(".tile a").first())]);
  assert.ok(all >= 250, `${all}`);
  assert.equal(add((await numbersOf("By day")).flatMap(([, ...counts]) => counts)), all);
  assert.equal(add((await numbersOf("By status")).map(([, count]) => count)), all);
  const users = await numbersOf("Busiest users");
  assert.ok(users.length > 1 && add([users[0][1]]) >= add([users[1][1]]), `${users}`);
  assert.match((await numbersOf("Busiest desktops"))[0][0], /^desktop\d\d$/);
  assert.deepEqual(seen.complaints, []);
});

test("the overview says when it was read, and reads again on request", async () => {
  await openOverview();
  await page.getByText(/^As of \d\d:\d\d$/).waitFor(PATIENCE);

  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.request().postData()?.includes("query Statistics"), PATIENCE),
    page.getByRole("button", { name: "Refresh" }).click(),
  ]);

  assert.equal(answer.status(), 200);
  await page.getByText(/^As of \d\d:\d\d$/).waitFor(PATIENCE);
});

test("the charts are drawn, and drawn anew in the dark", async () => {
  await page.emulateMedia({ colorScheme: "light" });
  await openOverview();
  const light = await page.evaluate(colorsOfCharts);
  assert.ok(light.every((colors) => colors.split(" ").length > 1), light.join("; "));

  await page.emulateMedia({ colorScheme: "dark" });

  // Asked from here: the page's policy forbids `eval`, by which Playwright would ask a text again.
  const deadline = Date.now() + PATIENCE.timeout;
  const isSame = (colors, index) => colors === light[index];
  while ((await page.evaluate(colorsOfCharts)).some(isSame)) {
    assert.ok(Date.now() < deadline, "a chart has kept its colours");
    // The page hears of the other scheme with its next frame.
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
});

/** Runs in the page: the opaque colours of each chart. */
function colorsOfCharts() {
  return [...document.querySelectorAll(".chart canvas")].map((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) seen.add(data.slice(at, at + 3).join());
    return [...seen].sort().join(" ");
  });
}

test("hours and sizes can be shown in place of numbers", async () => {
  await openOverview();

  await page.getByLabel("Hours", { exact: true }).check();
  const [[, hours]] = await numbersOf("Busiest users");
  await page.getByLabel("Size", { exact: true }).check();

  assert.match(hours, /^[\d.,]+$/);
  const size = page.getByRole("region", { name: "Busiest users" }).first().locator("tbody td").first();
  assert.match(await text(size), /GiB$/);
});

test("a day of the chart leads to the recordings of that day", async () => {
  await openOverview();
  const days = await numbersOf("By day");
  const place = days.findIndex(([, ...counts]) => add(counts) > 1);

  await page.getByRole("region", { name: "By day" }).first().locator("tbody a").nth(place).click();

  await rows().first().waitFor(PATIENCE);
  const counted = add(days[place].slice(1));
  assert.match(await text(total()), new RegExp(` of ${counted} recordings$`));
});

test("a bar leads to the recordings of its user", async () => {
  await openOverview();
  const [[user, count]] = await numbersOf("Busiest users");

  await page.locator(".chart.ranking canvas").first().click({ position: { x: 150, y: 20 } });

  await rows().first().waitFor(PATIENCE);
  assert.match(await text(total()), new RegExp(` of ${count} recordings$`));
  assert.equal(await rows().first().locator("td").nth(2).textContent(), user);
});

test("numbers that are not complete say so", async () => {
  const groups = [{
    __typename: "ScreenRecordStatisticsGroup", time: "2026-01-01T16:00:00.000Z", username: null, desktopId: null,
    status: "UPLOAD_COMPLETED", type: null, count: 2000, seconds: 1, bytes: 1,
  }];
  await answerWith("Statistics", () => ({
    screenRecordStatistics: { __typename: "ScreenRecordStatistics", scanned: 2000, isComplete: false, groups },
  }));
  await page.goto(url);

  assert.match(await text(page.locator(".notice")), /Only the first 2,000 recordings were counted/);
});

test("the projects of the settings can be chosen", async () => {
  await answerWith("Projects", () => ({
    projects: [
      { __typename: "Project", id: PROJECT, name: "Example", region: "ap-southeast-1" },
      { __typename: "Project", id: "another", name: null, region: null },
    ],
  }));
  await openList();
  const picker = page.getByRole("banner").getByLabel("Project");
  assert.deepEqual(await picker.locator("option").allTextContents(), ["Example · ap-southeast-1", "another", "Other project…"]);

  const asked = nextOperation("List");
  await picker.selectOption("another");

  assert.equal((await asked).variables.projectId, "another");
  await page.locator('[data-code="FORBIDDEN"]').first().waitFor(PATIENCE);
});

test("the video plays, and the time line follows it", async () => {
  await openUploaded();
  const video = page.locator("video");
  await page.waitForFunction(() => document.querySelector("video")?.duration > 0, null, PATIENCE);

  await video.evaluate((element) => element.play());

  await page.waitForFunction(() => parseFloat(document.querySelector(".playhead").style.left) > 0, null, PATIENCE);
  await page.locator(".operation").last().click();
  await page.getByText("The video ends before that moment.").waitFor(PATIENCE);
  assert.equal(await page.locator(".operation").last().evaluate((one) => one.parentElement.ariaCurrent), "step");
});

test("the video comes from its link, within the page's policy, and can be sought", { timeout: 60_000 }, async () => {
  const linked = page.waitForResponse((one) => one.request().postDataJSON()?.operationName === "Link", PATIENCE);
  const loaded = page.waitForResponse((one) => one.url().includes("/videos/"), PATIENCE);
  await openUploaded();
  const { data } = await (await linked).json();
  const answer = await loaded;
  const { range } = await answer.request().allHeaders();

  const played = await page.locator("video").evaluate(playFrom, 10);

  assert.equal(answer.url(), data.screenRecord.downloadLink.url);
  assert.deepEqual([range, answer.status()], ["bytes=0-", 206]);
  assert.deepEqual(played, { from: 10, to: 12, width: 320 });
  assert.deepEqual(seen.complaints, []);
});

/** Runs in the page. Seeks, plays from there until a later frame is shown and then to the end. */
async function playFrom(video, seconds) {
  const next = (event) => new Promise((resolve) => video.addEventListener(event, resolve, { once: true }));
  if (video.readyState < HTMLMediaElement.HAVE_METADATA) await next("loadedmetadata");
  const sought = next("seeked");
  video.currentTime = seconds;
  await sought;
  const from = video.currentTime;

  const frame = new Promise((resolve) => {
    const look = (_, { mediaTime }) => (mediaTime > seconds ? resolve() : video.requestVideoFrameCallback(look));
    video.requestVideoFrameCallback(look);
  });
  const ended = next("ended");
  await video.play();
  await frame;
  await ended;
  return { from, to: video.currentTime, width: video.videoWidth };
}

test("a link is renewed before it ends, and the video goes on where it was", async () => {
  const answers = [];
  await page.route(/\/graphql$/, async (route) => {
    if (route.request().postDataJSON()?.operationName !== "Link") return route.fallback();
    const answer = await route.fetch();
    const json = await answer.json();
    const { downloadLink } = json.data.screenRecord;
    // The same video under another address, as a renewed link has one.
    downloadLink.url += `#${answers.length}`;
    downloadLink.expiresAt = new Date(Date.now() + (answers.length === 0 ? 4_000 : 600_000)).toISOString();
    answers.push(downloadLink.url);
    return route.fulfill({ response: answer, json });
  });
  await openUploaded();
  await page.waitForFunction(() => document.querySelector("video")?.duration > 0, null, PATIENCE);
  await page.locator("video").evaluate((element) => {
    element.currentTime = 5;
  });

  await page.waitForFunction(() => document.querySelector("video").src.endsWith("#1"), null, PATIENCE);

  await page.waitForFunction(() => document.querySelector("video").currentTime >= 5, null, PATIENCE);
  assert.equal(answers.length, 2);
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
  overview: async () => {
    await openOverview();
    for (const summary of await page.locator("summary").all()) await summary.click();
  },
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
