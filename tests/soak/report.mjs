// Reports a soak: a picture of memory over time, and a page of figures.
import { cpus, loadavg, release, totalmem, type } from "node:os";

import { CACHE, FAULT_RATE, RECORDS } from "./processes.mjs";

const MIB = 1024 * 1024;
const COLOURS = ["#0969da", "#bc4c00"];

/** Memory of the gateways over time, and when Redis was down, as SVG. */
export function picture(samples, away, seconds) {
  const [width, height, left, top, bottom] = [860, 340, 60, 40, 50];
  const most = Math.max(...samples.flatMap(({ rss }) => rss)) / MIB;
  const step = most > 100 ? 20 : 10;
  const highest = Math.ceil((most * 1.1) / step) * step;
  const x = (at) => (left + (at / seconds) * (width - left - 20)).toFixed(1);
  const y = (mib) => (height - bottom - (mib / highest) * (height - top - bottom)).toFixed(1);
  const text = (at, down, words, anchor = "middle") => `<text x="${at}" y="${down}" text-anchor="${anchor}">${words}</text>`;
  const parts = away.map(([from, to]) => {
    const [begin, end] = [x(from), x(to)];
    return `<rect x="${begin}" y="${top}" width="${(end - begin).toFixed(1)}" height="${height - top - bottom}" fill="#ffebe9"/>`;
  });
  for (let mib = 0; mib <= highest; mib += step) {
    parts.push(`<path d="M${left} ${y(mib)}H${width - 20}" stroke="#d0d7de"/>`, text(left - 8, Number(y(mib)) + 4, mib, "end"));
  }
  const every = seconds >= 300 ? 60 : 10;
  for (let at = 0; at <= seconds; at += every) parts.push(text(x(at), height - bottom + 18, at));
  for (const place of [0, 1]) {
    const points = samples.map(({ at, rss }) => `${x(at)},${y(rss[place] / MIB)}`).join(" ");
    parts.push(`<polyline points="${points}" fill="none" stroke="${COLOURS[place]}" stroke-width="1.5"/>`);
    parts.push(`<rect x="${left + place * 110}" y="14" width="12" height="12" fill="${COLOURS[place]}"/>`);
    parts.push(text(left + 18 + place * 110, 24, `gateway ${place + 1}`, "start"));
  }
  parts.push(`<rect x="${left + 220}" y="14" width="12" height="12" fill="#ffebe9" stroke="#d0d7de"/>`);
  parts.push(text(left + 238, 24, "Redis is down", "start"), text(width / 2, height - 10, "seconds"));
  parts.push(text(12, 24, "MiB", "start"));
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" fill="#1f2328">
<title>Resident memory of two gateways over time</title>
<rect width="${width}" height="${height}" fill="#ffffff"/>
${parts.join("\n")}
</svg>
`;
}

export function median(values) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}

function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** The sum of a metric's samples over all gateways, by the value of its label. */
function metric(pages, name) {
  const sums = {};
  for (const line of pages.flatMap((page) => page.split("\n"))) {
    const [shown, value] = line.split(" ");
    if (shown !== name && !shown.startsWith(`${name}{`)) continue;
    const label = shown.match(/"(.*)"/)?.[1] ?? "";
    sums[label] = (sums[label] ?? 0) + Number(value);
  }
  return sums;
}

const listed = (counts) =>
  Object.entries(counts)
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([name, count]) => (name ? `${name} ${count}` : `${count}`))
    .join(", ") || "none";

/** The page of figures. */
export function page({ load, samples, pages, minutes, rate, begun, growth, checks, loads }) {
  const rows = [
    ["operations sent", `${load.sent} (${rate} per second), ${listed(load.kinds)}`],
    ["loads in them", `${load.loads}, ${((1 - load.failed / load.loads) * 100).toFixed(2)} % succeeded`],
    ["answers with an error or stale data, by code", listed(load.codes)],
    ["time to answer", `median ${quantile(load.tookMs, 0.5).toFixed(1)} ms, 99 % within ${quantile(load.tookMs, 0.99).toFixed(0)} ms, slowest ${load.slowest.toFixed(0)} ms`],
    ["attempts to call the upstream, by outcome", listed(metric(pages, "gateway_upstream_attempts_total"))],
    ["retries; over budget", `${listed(metric(pages, "gateway_upstream_retries_total"))}; ${listed(metric(pages, "gateway_upstream_retries_over_budget_total"))}`],
    ["circuit breaker opened", listed(metric(pages, "gateway_upstream_breaker_opened_total"))],
    ["reads from the cache, by outcome", listed(metric(pages, "gateway_cache_reads_total"))],
    ["reads from Redis, by outcome", listed(metric(pages, "gateway_shared_cache_reads_total"))],
    ["bytes in both caches at the end", listed(metric(pages, "gateway_cache_bytes"))],
    ["memory at the end", samples.at(-1).rss.map((bytes) => `${(bytes / MIB).toFixed(1)} MiB`).join(" and ")],
    ["growth of memory, middle fifth to last fifth", growth.map((share) => `${((share - 1) * 100).toFixed(1)} %`).join(" and ")],
  ];
  return `# Soak

Two gateways share a Redis. The simulated upstream answers ${FAULT_RATE * 100} % of calls with one of six faults.
Redis is killed twice, and is down for ten seconds each time. ${RECORDS} recordings for two callers need far
more than the ${CACHE} of each gateway's cache. \`tests/soak/run\` writes this page and the picture.

![Resident memory of both gateways over time](soak.svg)

| | |
| --- | --- |
${rows.map((row) => `| ${row.join(" | ")} |`).join("\n")}

Checked:

${checks.map(([held, what]) => `- ${held ? "held" : "**did not hold**"}: ${what}`).join("\n")}

${minutes} minutes from ${begun.toISOString().slice(0, 16).replace("T", " ")} UTC on ${cpus().length} cores (${cpus()[0].model.trim()}), ${(totalmem() / 1024 ** 3).toFixed(0)} GiB, ${type()} ${release()},
Node.js ${process.versions.node}. The load generator ran on the same machine, whose load average went
from ${loads[0].toFixed(1)} to ${loadavg()[0].toFixed(1)}: an idle machine would be faster.
`;
}
