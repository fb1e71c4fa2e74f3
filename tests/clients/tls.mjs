// An upstream with TLS: HTTP/2 if it is offered, one connection for many calls, and no call at all if the
// certificate is not trusted.
//
// node tls.mjs BINARY
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { createServer } from "node:https";
import { createInterface } from "node:readline";

import { certificates } from "../support/certificates.mjs";
import { equal, run } from "../support/checks.mjs";

const binary = process.argv[2];
const files = certificates();
const tls = { key: readFileSync(files.key), cert: readFileSync(files.certificate) };
const started = [];

/** An upstream that notes the protocol and the connection of each call. */
async function upstream(create) {
  const seen = [];
  const server = create(tls, (request, response) => {
    const { socket } = request.stream?.session ?? request;
    seen.push({ version: request.httpVersion, port: socket.remotePort });
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ id: "a" }));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return { seen, url: `https://localhost:${server.address().port}` };
}

/** A gateway in front of it; returns its address. */
async function gateway(url, environment) {
  const args = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--upstream-endpoint", url];
  const process = spawn(binary, args, { env: environment, stdio: ["ignore", "pipe", "ignore"] });
  started.push(process);
  for await (const line of createInterface(process.stdout)) {
    const address = line.match(/http:\S+graphql/);
    if (address) return address[0];
  }
  throw new Error("the gateway did not start");
}

async function ask(address, id) {
  const answer = await fetch(address, {
    method: "POST",
    headers: { "content-type": "application/json", "x-auth-token": "t" },
    body: JSON.stringify({ query: `{ screenRecord(projectId: "p", id: "${id}") { id } }` }),
  });
  return answer.json();
}

const trusting = { SSL_CERT_FILE: files.authority };
const checks = {
  "HTTP/2 is used if the client offers it, over one connection": async () => {
    const { seen, url } = await upstream((options, answer) =>
      createSecureServer({ ...options, allowHTTP1: true }, answer),
    );
    const address = await gateway(url, trusting);
    for (const id of ["r1", "r2", "r3"]) {
      equal((await ask(address, id)).data, { screenRecord: { id: "a" } });
    }
    equal(seen.map(({ version }) => version), ["2.0", "2.0", "2.0"]);
    equal(new Set(seen.map(({ port }) => port)).size, 1);
  },
  "HTTP/1.1 is used otherwise, over one connection": async () => {
    const { seen, url } = await upstream(createServer);
    const address = await gateway(url, trusting);
    for (const id of ["r1", "r2", "r3"]) await ask(address, id);
    equal(seen.map(({ version }) => version), ["1.1", "1.1", "1.1"]);
    equal(new Set(seen.map(({ port }) => port)).size, 1);
  },
  "an upstream whose certificate is not trusted gets no request": async () => {
    const { seen, url } = await upstream(createServer);
    const address = await gateway(url, {});
    const { errors } = await ask(address, "r1");
    equal(errors[0].extensions, { code: "UPSTREAM_UNAVAILABLE", retryable: true });
    equal(seen, []);
  },
};

const failed = await run(checks);
started.forEach((process) => process.kill());
files.remove();
process.exit(failed === 0 ? 0 : 1);
