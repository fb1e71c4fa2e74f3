// Limits of sockets: time to read, and their number.
//
// node sockets.mjs BINARY
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import WebSocket from "ws";

import { equal, run } from "../support/checks.mjs";

const binary = process.argv[2];
const PROJECT = "089b2f9a3d80d3062f24c00ca4ed5cbd";
// Far more than the socket buffers of both ends hold.
const ANSWERS = 400;
const QUERY = `{ screenRecords(projectId: "${PROJECT}", first: 250) { nodes {
  id projectId desktopId desktopName desktopPoolId username size duration type rawType status rawStatus policyId obsBucket
  fileDirectory videoFilename videoFileSha256 eventFilename eventFileSha256 startTime endTime updateTime } } }`;

const free = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
const told = [
  ...["--subscriptions-send-timeout", "500ms", "--subscriptions-max-connections-per-caller", "3"],
  ...["--log", "debug", "--log-format", "json"],
];
const demo = spawn(binary, ["demo", ...free, ...told], { stdio: ["ignore", "pipe", "pipe"] });
const lines = createInterface(demo.stderr);

/** The first line of the log with a message, from now on. */
function logged(message) {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`never logged: ${message}`)), 20_000);
    lines.on("line", (line) => {
      const said = JSON.parse(line);
      if (said.message !== message) return;
      clearTimeout(late);
      resolve(said);
    });
  });
}

async function address() {
  for await (const line of createInterface(demo.stdout)) {
    const found = line.match(/http:\S+graphql/);
    if (found) return found[0];
  }
  throw new Error("the demo did not start");
}
const url = await address();

/** A socket on which the token has been acknowledged. */
async function opened() {
  const socket = new WebSocket(url.replace(/^http/, "ws"), "graphql-transport-ws");
  await new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  socket.send(JSON.stringify({ type: "connection_init", payload: { "X-Auth-Token": "demo-token" } }));
  await new Promise((resolve, reject) => {
    socket.once("message", resolve);
    socket.once("close", (code, reason) => reject(new Error(`closed: ${code} ${reason}`)));
  });
  return socket;
}

/** Retries until it works: a closed socket is uncounted a moment later. */
async function until(attempt, deadline = Date.now() + 10_000) {
  try {
    return await attempt();
  } catch (error) {
    if (Date.now() > deadline) throw error;
    return until(attempt, deadline);
  }
}

const ask = (socket, id, query) =>
  socket.send(JSON.stringify({ type: "subscribe", id: String(id), payload: { query } }));

const checks = {
  "a client that reads nothing is closed with 1008 and a reason, and delays no other client": async () => {
    const socket = await opened();
    let answered = 0;
    socket.on("message", (data) => (answered += JSON.parse(data).type === "complete"));
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.pause();
    for (let id = 0; id < ANSWERS; id += 1) ask(socket, id, QUERY);

    const other = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", "x-auth-token": "demo-token" },
      body: JSON.stringify({ query: "{ __typename }" }),
    });
    const said = await logged("a socket was closed");
    socket.resume();
    await closed;

    equal(other.status, 200);
    equal([said.code, said.reason], [1008, "Messages were not read in time"]);
    equal(answered < ANSWERS, true);
  },
  "a caller's fourth socket is closed with 4429, until another one closes": async () => {
    const sockets = [await opened(), await opened(), await opened()];

    const refused = await opened().then(
      () => "acknowledged",
      (error) => error.message,
    );
    equal(refused, "closed: 4429 Too many connections: subscriptions.max_connections_per_caller allows 3");

    const gone = new Promise((resolve) => sockets[0].once("close", resolve));
    sockets[0].close();
    await gone;
    const again = await until(opened);
    for (const socket of [again, ...sockets]) socket.close();
  },
  "a client that reads gets all answers": async () => {
    const socket = await opened();
    const complete = new Promise((resolve) => {
      let completed = 0;
      socket.on("message", (data) => {
        if (JSON.parse(data).type === "complete") completed += 1;
        if (completed === 50) resolve(completed);
      });
    });
    for (let id = 0; id < 50; id += 1) ask(socket, id, QUERY);

    equal(await complete, 50);
    socket.close();
  },
};

const failed = await run(checks);
demo.kill();
process.exitCode = failed === 0 ? 0 : 1;
