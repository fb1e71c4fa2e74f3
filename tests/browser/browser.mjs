// A headless Chromium on a fresh profile, and what its page asked for and complained about.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { chromium } from "playwright-core";

const FLAGS = [
  "--headless",
  // The test runs as root in a container, where Chromium's own sandbox cannot.
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Opens a browser; `close` ends it and removes its profile. */
export async function openBrowser(options = {}) {
  const profile = await mkdtemp(join(tmpdir(), "browser-test-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
    viewport: { width: 1280, height: 800 },
    ...options,
  });

  return {
    openPage: () => openPage(context),
    close: async () => {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

async function openPage(context) {
  const page = await context.newPage();
  const seen = { requests: [], complaints: [] };

  page.on("request", (request) => seen.requests.push(request.url()));
  page.on("websocket", (socket) => seen.requests.push(socket.url()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("console", (message) => {
    // A violation of the content security policy is an error on the console, as is a failed load.
    if (message.type() === "error") {
      seen.complaints.push(message.text());
    }
  });

  return { page, seen };
}

/** Keeps a picture of a page in the folder that `SCREENSHOTS` names, if it names one. */
export async function keepPicture(page, name, options = {}) {
  const folder = process.env.SCREENSHOTS;
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name.replaceAll(/\W+/g, "-")}.png`), ...options });
}
