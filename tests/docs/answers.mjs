// Compares an answer with the one that a document shows. Values that change from run to run are masked:
// instants are compared as instants, changing ids and counts by their type, and `…` stands for anything.

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
// Fields whose value changes from run to run.
const VOLATILE = new Set([
  "cursor", "startCursor", "endCursor", "requestId", "totalCount", "downloadUrl",
  "retryAfterMs", "ageMs", "freshForMs", "staleForMs",
]);

/** The difference between the shown and the actual answer; undefined if there is none. */
export function difference(shown, came, path = "answer") {
  if (typeof shown === "string" && shown.includes("…")) {
    return typeof came === "string" && pattern(shown).test(came) ? undefined : unlike(shown, came, path);
  }
  if (typeof shown === "string" && INSTANT.test(shown)) {
    return typeof came === "string" && INSTANT.test(came) ? undefined : unlike(shown, came, path);
  }
  if (Array.isArray(shown)) return ofLists(shown, came, path);
  if (shown !== null && typeof shown === "object") return ofObjects(shown, came, path);
  return shown === came ? undefined : unlike(shown, came, path);
}

function ofLists(shown, came, path) {
  if (!Array.isArray(came)) return unlike(shown, came, path);
  if (came.length !== shown.length) return `${path} has ${came.length} items, and ${shown.length} are shown`;
  return first(shown.map((value, index) => difference(value, came[index], `${path}[${index}]`)));
}

function ofObjects(shown, came, path) {
  if (came === null || typeof came !== "object" || Array.isArray(came)) return unlike(shown, came, path);
  const [names, others] = [Object.keys(shown), Object.keys(came)];
  if (names.join() !== others.join()) return `${path} has ${others.join(", ")}, and ${names.join(", ")} are shown`;
  return first(names.map((name) => ofField(name, shown[name], came[name], `${path}.${name}`)));
}

function ofField(name, shown, came, path) {
  if (!VOLATILE.has(name)) return difference(shown, came, path);
  return typeof shown === typeof came && (shown === null) === (came === null) ? undefined : unlike(shown, came, path);
}

/** The difference between lines: each shown line must appear, in this order; others may be between them. */
export function lineDifference(shown, came) {
  const lines = came.split("\n").map(masked);
  let from = 0;
  for (const line of shown.split("\n").filter((one) => one.trim() && one.trim() !== "…")) {
    const wanted = pattern(masked(line));
    const found = lines.findIndex((one, index) => index >= from && wanted.test(one));
    if (found < 0) return `no line reads ${JSON.stringify(line)} in:\n${came}`;
    from = found + 1;
  }
  return undefined;
}

// Seconds and lengths differ from run to run, a status does not.
function masked(line) {
  return line.trim().replace(/((?:max-age|ttl)=|(?:age|content-length): )\d+/g, "$1N");
}

function pattern(shown) {
  const parts = shown.split("…").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^]*")}$`);
}

function unlike(shown, came, path) {
  return `${path} is ${JSON.stringify(came)?.slice(0, 300)}, and ${JSON.stringify(shown).slice(0, 300)} is shown`;
}

function first(found) {
  return found.find((problem) => problem !== undefined);
}
