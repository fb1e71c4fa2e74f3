// The processes of a soak: the simulated upstream with faults, a Redis that dies and comes back, two gateways.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";

export const TOKENS = ["soak-token-one", "soak-token-two"];
export const FAULT_RATE = 0.25;
export const RECORDS = 12_000;
export const CACHE = "16MiB";

const started = [];

function start(program, args) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "ignore"] });
  started.push(child);
  return child;
}

/** Waits for matching lines, and skips the others. */
async function printed(child, patterns) {
  const found = [];
  for await (const line of createInterface(child.stdout)) {
    patterns.forEach((pattern, place) => (found[place] ??= line.match(pattern)?.[0]));
    if (patterns.every((_, place) => found[place])) {
      child.stdout.resume();
      return found;
    }
  }
  throw new Error("a process ended before it was ready");
}

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function simulator(binary) {
  const tokens = TOKENS.flatMap((token) => ["--token", token]);
  const faults = ["--fault-rate", FAULT_RATE, "--latency", "20ms"];
  const args = ["simulate", "--listen", "127.0.0.1:0", "--records", RECORDS, ...faults, ...tokens];
  const [url] = await printed(start(binary, args.map(String)), [/http:\/\/127\.0\.0\.1:\d+/]);
  return url;
}

export async function redis() {
  const port = await freePort();
  const memory = ["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"];
  const args = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp", ...memory];
  let child = start("redis-server", args);
  child.stdout.resume();
  return {
    port,
    kill: () => child.kill("SIGKILL"),
    begin: () => {
      child = start("redis-server", args);
      child.stdout.resume();
    },
  };
}

export async function gateway(binary, upstream, redisPort) {
  const listening = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const shared = ["--cache-redis-url", `redis://127.0.0.1:${redisPort}`, "--cache-key-secret", "secret of the soak"];
  const cache = ["--cache-max-bytes", CACHE, ...shared];
  const child = start(binary, ["serve", ...listening, "--upstream-endpoint", upstream, "--log", "off", ...cache]);
  const [graphql, admin] = await printed(child, [/http:\S+graphql/, /http:\S+:\d+(?=\/readyz)/]);
  const ended = new Promise((resolve) => child.on("exit", (code) => resolve(code)));
  const metrics = async () => (await fetch(`${admin}/metrics`)).text();
  for (let tries = 0; !(await metrics()).includes("gateway_shared_cache_up 1"); tries += 1) {
    if (tries > 200) throw new Error("a gateway did not find Redis");
    await pause(50);
  }
  return { graphql, metrics, pid: child.pid, stop: () => child.kill("SIGTERM"), ended };
}

/** Resident memory of a process, in bytes. */
export function rss(pid) {
  const line = readFileSync(`/proc/${pid}/status`, "utf8").match(/^VmRSS:\s+(\d+) kB$/m);
  return Number(line[1]) * 1024;
}

export function endAll() {
  started.forEach((child) => child.kill("SIGKILL"));
}
