// A Redis with TLS and a password is used if its certificate is trusted and names the host. Otherwise it is
// never used, and delays no request.
//
// node redis-tls.mjs BINARY
import { execFileSync, spawn } from "node:child_process";
import { createServer } from "node:http";
import { createServer as createListener } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

import { certificates } from "../support/certificates.mjs";
import { equal, run } from "../support/checks.mjs";

const binary = process.argv[2];
const files = certificates();
const started = [];
const PASSWORD = "p@ss:of/redis";
const trusting = { SSL_CERT_FILE: files.authority };

function start(program, args, options) {
  const child = spawn(program, args, options);
  started.push(child);
  return child;
}

async function listen(server) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server.address().port;
}

async function until(condition, what) {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await condition()) return;
    await pause(50);
  }
  throw new Error(`${what} never came`);
}

const address = (redis, host = "localhost") => `rediss://gateway:${encodeURIComponent(PASSWORD)}@${host}:${redis}`;

/** Asks Redis itself, as its own client does. */
function ask(redis, ...words) {
  const tls = ["--tls", "--cacert", files.authority, "-h", "localhost", "-p", String(redis)];
  const user = ["--user", "gateway", "--pass", PASSWORD, "--no-auth-warning"];
  return execFileSync("redis-cli", [...tls, ...user, ...words], { encoding: "utf8", stdio: "pipe" }).trim();
}

/** A Redis that speaks only TLS; returns its port. */
async function redis() {
  const free = createListener();
  const port = await listen(free);
  await new Promise((resolve) => free.close(resolve));
  const settings = [
    ...["port 0", `tls-port ${port}`, "bind 127.0.0.1", 'save ""', "dir /tmp", "tls-auth-clients no"],
    ...[`tls-cert-file ${files.certificate}`, `tls-key-file ${files.key}`, `tls-ca-cert-file ${files.authority}`],
    `user gateway on >${PASSWORD} ~* &* +@all`,
  ];
  start("redis-server", ["-"], { stdio: ["pipe", "ignore", "ignore"] }).stdin.end(settings.join("\n"));
  await until(() => {
    try {
      return ask(port, "PING") === "PONG";
    } catch {
      return false;
    }
  }, "redis");
  return port;
}

/** An upstream that counts its calls. */
async function upstream() {
  const seen = { calls: 0 };
  const server = createServer((request, response) => {
    seen.calls += 1;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ id: "a", status: "UPLOAD_COMPLETED" }));
  });
  seen.url = `http://127.0.0.1:${await listen(server)}`;
  server.unref();
  return seen;
}

/** A replica; returns a function that queries it. */
async function replica(url, redisUrl, environment) {
  const listening = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const shared = ["--cache-redis-url", redisUrl, "--cache-key-secret", "a secret of the deployment"];
  // Longer than any machine takes, so that a slow one does not look like an untrusted one.
  const args = ["serve", ...listening, "--upstream-endpoint", url, ...shared, "--cache-redis-timeout", "1s"];
  const child = start(binary, args, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  const log = [];
  createInterface(child.stderr).on("line", (line) => log.push(line));
  const found = {};
  for await (const line of createInterface(child.stdout)) {
    found.graphql ??= line.match(/http:\S+graphql/)?.[0];
    found.admin ??= line.match(/http:\S+:\d+(?=\/readyz)/)?.[0];
    if (found.graphql && found.admin) break;
  }
  const metric = async (name) => {
    const page = await (await fetch(`${found.admin}/metrics`)).text();
    return Number(page.split("\n").find((line) => line.startsWith(`${name} `))?.split(" ")[1] ?? 0);
  };
  const query = async (id) => {
    const answer = await fetch(found.graphql, {
      method: "POST",
      headers: { "content-type": "application/json", "x-auth-token": "t" },
      body: JSON.stringify({ query: `{ screenRecord(projectId: "p", id: "${id}") { id } }` }),
    });
    return answer.json();
  };
  return { log, metric, query };
}

const data = { data: { screenRecord: { id: "a" } } };
const reads = (outcome) => `gateway_shared_cache_reads_total{outcome="${outcome}"}`;

/** Nothing is sent to a Redis that is not trusted, and no request waits for it. */
async function isNotUsed(redisUrl, environment, port) {
  const source = await upstream();
  const gateway = await replica(source.url, redisUrl, environment);
  await until(() => gateway.log.some((line) => line.includes("the shared cache cannot be reached")), "a warning");
  for (const id of ["r1", "r2", "r3"]) equal(await gateway.query(id), data);
  equal([await gateway.metric("gateway_shared_cache_up"), await gateway.metric(reads("skipped"))], [0, 3]);
  equal([source.calls, ask(port, "DBSIZE")], [3, "0"]);
}

const checks = {
  "a redis whose certificate is trusted is shared by replicas": async () => {
    const [port, source] = [await redis(), await upstream()];
    const one = await replica(source.url, address(port), trusting);
    const other = await replica(source.url, address(port), trusting);
    for (const gateway of [one, other]) {
      await until(async () => (await gateway.metric("gateway_shared_cache_up")) === 1, "the connection");
    }
    equal(await one.query("r1"), data);
    await until(() => ask(port, "KEYS", "*:record:*") !== "", "the entry");
    equal(await other.query("r1"), data);
    equal([source.calls, await other.metric(reads("hit"))], [1, 1]);
  },
  "a redis whose certificate is not trusted is never used and costs nothing": async () => {
    const port = await redis();
    await isNotUsed(address(port), {}, port);
  },
  "a redis whose certificate names another host is never used and costs nothing": async () => {
    const port = await redis();
    await isNotUsed(address(port, "127.0.0.1"), trusting, port);
  },
};

const failed = await run(checks);
started.forEach((child) => child.kill("SIGKILL"));
files.remove();
process.exit(failed === 0 ? 0 : 1);
