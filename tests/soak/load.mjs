// The load of a soak: operations of many kinds at a steady rate, each answer judged.
import { Agent, request } from "node:http";

import { TOKENS } from "./processes.mjs";

export const PROJECT = "089b2f9a3d80d3062f24c00ca4ed5cbd";

/** The codes that an answer may have; any other is an error of the gateway. */
const KNOWN = new Set([
  ..."BAD_USER_INPUT UNAUTHENTICATED UPSTREAM_UNAUTHENTICATED FORBIDDEN NOT_FOUND CONFLICT RATE_LIMITED".split(" "),
  ..."UPSTREAM_ERROR UPSTREAM_UNAVAILABLE UPSTREAM_TIMEOUT UPSTREAM_INVALID_RESPONSE OVERLOADED".split(" "),
]);
/** Time limit of a load: `upstream.deadline`, the wait for another replica, and a margin. */
const LONGEST_LOAD = 10_000 + 1000 + 1000;
/** Time limit of an operation: `limits.request_timeout` and a margin. */
const LONGEST = 15_000 + 1000;
const HOT = 500;

const agent = new Agent({ keepAlive: true, maxSockets: 512 });
const pick = (list) => list[Math.floor(Math.random() * list.length)];
const record = (id, selection = "id status startTime size") =>
  `screenRecord(projectId: "${PROJECT}", id: "${id}") { ${selection} }`;

/** The kinds of operations: a document, its number of loads, and the expected answer. */
function operation(ids) {
  const popular = () => (Math.random() < 0.7 ? ids[Math.floor(Math.random() * HOT)] : pick(ids));
  const drawn = Math.random();
  if (drawn < 0.7) return { kind: "record", loads: 1, text: `{ ${record(popular())} }` };
  if (drawn < 0.8) {
    const aliases = Array.from({ length: 10 }, (_, place) => `r${place}: ${record(pick(ids))}`);
    return { kind: "ten records", loads: 10, text: `{ ${aliases.join(" ")} }` };
  }
  if (drawn < 0.85) {
    const filter = pick(["", ", filter: { status: UPLOAD_COMPLETED }", ", filter: { type: FULL }"]);
    const list = `screenRecords(projectId: "${PROJECT}", first: ${pick([20, 100, 250])}${filter})`;
    return { kind: "list", loads: 1, text: `{ ${list} { totalCount nodes { id status } } }` };
  }
  if (drawn < 0.91) {
    return { kind: "operations", loads: 2, text: `{ ${record(popular(), "id operations(first: 20) { totalCount }")} }` };
  }
  if (drawn < 0.96) return { kind: "link", loads: 2, text: `{ ${record(popular(), "id downloadUrl")} }` };
  if (drawn < 0.98) return { kind: "no-cache", loads: 1, text: `{ ${record(popular())} }`, noCache: true };
  if (drawn < 0.99) return { kind: "no such record", loads: 1, text: `{ ${record("none-of-these")} }`, expects: "NOT_FOUND" };
  const token = "a made-up token";
  return { kind: "bad token", loads: 1, text: `{ ${record(popular())} }`, token, expects: "UNAUTHENTICATED" };
}

export class Load {
  sent = 0;
  loads = 0;
  failed = 0;
  underWay = 0;
  heldBack = 0;
  slowest = 0;
  codes = {};
  kinds = {};
  tookMs = [];
  findings = [];

  constructor(gateways, ids) {
    Object.assign(this, { gateways, ids });
  }

  /** Sends operations at a rate until told to stop; answers once all are answered. */
  async run(perSecond, over) {
    const begun = performance.now();
    const asked = [];
    while (!over()) {
      const due = ((performance.now() - begun) / 1000) * perSecond;
      for (; this.sent + this.heldBack < due; ) {
        // A gateway that stopped answering would be seen here.
        if (this.underWay >= 1000) this.heldBack += 1;
        else asked.push(this.#one());
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
      if (asked.length > 5000) await Promise.all(asked.splice(0, 4000));
    }
    await Promise.all(asked);
  }

  async #one() {
    const asked = operation(this.ids);
    this.sent += 1;
    this.underWay += 1;
    const begun = performance.now();
    try {
      const answer = await post(pick(this.gateways).graphql, asked);
      this.#judge(asked, answer, performance.now() - begun);
    } catch (error) {
      this.#find(`${asked.kind}: ${error.message}`);
    } finally {
      this.underWay -= 1;
    }
  }

  #judge(asked, { status, json }, took) {
    this.tookMs.push(took);
    this.slowest = Math.max(this.slowest, took);
    const longest = asked.loads === 1 && asked.kind !== "list" ? LONGEST_LOAD : LONGEST;
    if (took > longest) this.#find(`${asked.kind} took ${Math.round(took)} ms`);
    if (json?.data === undefined) return this.#find(`${asked.kind}: status ${status}, ${JSON.stringify(json)}`);
    const errors = json.errors ?? [];
    if (errors.length === 0 && json.data === null) this.#find(`${asked.kind}: neither data nor an error`);
    this.loads += asked.loads;
    this.kinds[asked.kind] = (this.kinds[asked.kind] ?? 0) + 1;
    if (json.extensions?.stale) this.codes["(data, stale)"] = (this.codes["(data, stale)"] ?? 0) + 1;
    for (const { message, extensions } of errors) {
      const code = extensions?.code;
      this.codes[code] = (this.codes[code] ?? 0) + 1;
      if (!KNOWN.has(code)) this.#find(`${asked.kind}: ${code}: ${message}`);
      if (code !== asked.expects) this.failed += 1;
    }
  }

  #find(what) {
    this.findings.push(what);
  }
}

function post(url, asked) {
  const body = JSON.stringify({ query: asked.text });
  const headers = { "content-type": "application/json", "x-auth-token": asked.token ?? pick(TOKENS) };
  if (asked.noCache) headers["cache-control"] = "no-cache";
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, method: "POST", headers, timeout: 60_000 }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        try {
          resolve({ status: response.statusCode, json: JSON.parse(Buffer.concat(chunks)) });
        } catch (error) {
          reject(error);
        }
      });
    });
    sent.on("timeout", () => sent.destroy(new Error("no answer within a minute")));
    sent.on("error", reject);
    sent.end(body);
  });
}

/** The ids of all recordings, from the upstream itself, which also answers with faults. */
export async function allIds(upstream, count) {
  const ids = [];
  while (ids.length < count) {
    const address = `${upstream}/v2/${PROJECT}/screen-records?limit=100&offset=${ids.length}`;
    try {
      const response = await fetch(address, { headers: { "x-auth-token": TOKENS[0] } });
      if (!response.ok) continue;
      const { screen_records: rows } = await response.json();
      if (rows.length === 0) break;
      ids.push(...rows.map(({ id }) => id).filter(Boolean));
    } catch {
      // A fault; the call is repeated.
    }
  }
  return ids;
}
