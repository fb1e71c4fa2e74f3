// Runs the example: the desktops, Hive Gateway, and one query through both subgraphs.
//
// node check.mjs RECORDINGS-URL PROJECT ID
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { equal, run } from "../../tests/support/checks.mjs";

const [recordings, projectId, id] = process.argv.slice(2);
const here = new URL(".", import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), "supergraph-"));
const started = [];

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

function start(command, args, env = {}) {
  const child = spawn(command, args, {
    cwd: here,
    env: { ...process.env, ...env },
    stdio: "ignore",
    detached: true,
  });
  started.push(child);
}

async function ask(port, body) {
  const answer = await fetch(`http://127.0.0.1:${port}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-auth-token": "demo-token" },
    body: JSON.stringify(body),
  });
  return answer.json();
}

/** Asks until there is an answer. */
async function up(port) {
  for (let attempt = 0; attempt < 300; attempt += 1) {
    try {
      return await ask(port, { query: "{ __typename }" });
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  throw new Error(`no answer at port ${port}`);
}

const [desktopsPort, routerPort] = [await freePort(), await freePort()];
const checks = {
  "the committed supergraph is what composition makes": async () => {
    const composed = execFileSync("node", ["compose.mjs"], { cwd: here, encoding: "utf8" });
    const committed = execFileSync("cat", ["supergraph.graphql"], { cwd: here, encoding: "utf8" });
    equal(composed === committed, true);
  },
  "a recording and its desktop come in one answer of Hive Gateway": async () => {
    const urls = [recordings, `http://127.0.0.1:${desktopsPort}/graphql`];
    const supergraph = join(folder, "supergraph.graphql");
    writeFileSync(supergraph, execFileSync("node", ["compose.mjs", ...urls], { cwd: here }));
    start("node", ["desktops.mjs", String(desktopsPort)]);
    start("npx", ["hive-gateway", "supergraph", "--port", String(routerPort), "--host", "127.0.0.1"], {
      SUPERGRAPH: supergraph,
    });
    await up(desktopsPort);
    await up(routerPort);
    const query = `{ screenRecord(projectId: "${projectId}", id: "${id}") { id status desktop { id room } } }`;
    const { data, errors } = await ask(routerPort, { query });
    equal(errors ?? [], []);
    const { desktop } = data.screenRecord;
    equal([data.screenRecord.id, desktop.room], [id, `room ${desktop.id.slice(0, 4)}`]);
  },
  "an error of the recordings keeps its code": async () => {
    const query = `{ screenRecord(projectId: "${projectId}", id: "no-such-record") { id } }`;
    const { errors } = await ask(routerPort, { query });
    equal(errors[0].extensions.code, "NOT_FOUND");
  },
};

const failed = await run(checks);
for (const child of started) {
  try {
    process.kill(-child.pid);
  } catch {
    // It is gone already.
  }
}
rmSync(folder, { recursive: true, force: true });
process.exit(failed === 0 ? 0 : 1);
