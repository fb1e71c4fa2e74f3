// A demo and a simulated upstream on free ports, for the requests of the documents.

import { spawn } from "node:child_process";
import { once } from "node:events";

export const TOKEN = "demo-token";
export const ACCESS_KEY = ["docs-test-ak", "docs-test-secret-key"];
export const PROJECT = "089b2f9a3d80d3062f24c00ca4ed5cbd";
/** Every project of the documents. */
const PROJECTS = [PROJECT, "0f5c3b7d9a1e4c62b8d7e6f50a1b2c3d", "2a64e8d1c0b94f3786a5d4c3b2e1f009"];

const started = [];

/** Starts a command and waits until its output matches. */
async function start(binary, args, wanted) {
  const child = spawn(binary, args, { stdio: ["ignore", "pipe", "ignore"], env: {} });
  started.push(child);
  let output = "";
  for await (const chunk of child.stdout) {
    output += chunk;
    const found = wanted.map((one) => output.match(one)?.[1]);
    if (found.every(Boolean)) {
      child.stdout.resume();
      return found;
    }
  }
  throw new Error(`${args[0]} did not say where it listens: ${output}`);
}

/** Both of them; addresses without a path. */
export async function startAll(binary) {
  const free = "127.0.0.1:0";
  const [demo, admin] = await start(
    binary,
    ["demo", `--listen=${free}`, `--admin-listen=${free}`],
    [/http:\/\/([\d.:]+)\/graphql/, /http:\/\/([\d.:]+)\/readyz/],
  );
  const pair = ACCESS_KEY.join(":");
  const [upstream] = await start(
    binary,
    [
      "simulate",
      `--listen=${free}`,
      `--access-key=${pair}`,
      "--iam-user=user:password:account",
      `--project=${PROJECTS}`,
    ],
    [/Upstream +(http:\/\/[\d.:]+)/],
  );
  return { binary, demo, admin, upstream };
}

export async function stopAll() {
  for (const child of started) {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, "exit") : undefined;
    child.kill();
    await ended;
  }
}

/** Status and body of the demo's answer. */
export async function ask(gateway, body, headers = {}) {
  const answer = await fetch(`http://${gateway.demo}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-auth-token": TOKEN, ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: answer.status, body: await answer.json() };
}

/** The first state that a subscription gives. */
export async function firstState(gateway, body) {
  const leave = new AbortController();
  const answer = await fetch(`http://${gateway.demo}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-auth-token": TOKEN, accept: "text/event-stream" },
    body: JSON.stringify(body),
    signal: leave.signal,
  });
  let seen = "";
  for await (const chunk of answer.body.pipeThrough(new TextDecoderStream())) {
    seen += chunk;
    const state = seen.match(/^data: ?(.+)$/m);
    if (state) {
      leave.abort();
      return JSON.parse(state[1]);
    }
  }
  throw new Error(`the stream ended without a state: ${seen}`);
}
