// node soak.mjs BINARY MINUTES FOLDER
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";

import { Load, allIds } from "./load.mjs";
import { RECORDS, endAll, gateway, redis, rss, simulator } from "./processes.mjs";
import { median, page, picture } from "./report.mjs";

const [binary, minutes, folder] = [process.argv[2], Number(process.argv[3]), process.argv[4]];
if (!(minutes > 0) || !folder) {
  console.error("usage: node soak.mjs BINARY MINUTES FOLDER");
  process.exit(2);
}
const RATE = 100;
/** How long Redis is down, each time. */
const AWAY = 10;
/** How much memory may grow between the middle and the end. */
const MOST_GROWTH = 1.15;

async function soak() {
  const [begun, loads] = [new Date(), loadavg()];
  const [upstream, shared] = [await simulator(binary), await redis()];
  const gateways = [await gateway(binary, upstream, shared.port), await gateway(binary, upstream, shared.port)];
  const ids = await allIds(upstream, RECORDS);
  console.log(`${ids.length} recordings; load for ${minutes} minutes`);

  const load = new Load(gateways, ids);
  const [seconds, from] = [minutes * 60, performance.now()];
  const now = () => (performance.now() - from) / 1000;
  const away = [1, 2].map((third) => [(seconds * third) / 3, (seconds * third) / 3 + AWAY]);
  const samples = [];
  const watching = watch({ samples, gateways, load, now });
  const faults = away.map(([dies, returns]) => [setTimeout(shared.kill, dies * 1000), setTimeout(shared.begin, returns * 1000)]);
  await load.run(RATE, () => now() >= seconds);
  clearInterval(watching);
  faults.flat().forEach(clearTimeout);

  const pages = await Promise.all(gateways.map(({ metrics }) => metrics()));
  gateways.forEach(({ stop }) => stop());
  const exits = await Promise.all(gateways.map(({ ended }) => ended));
  const growth = [0, 1].map((place) => growthOf(samples.map((sample) => sample.rss[place])));
  const checks = [
    [load.findings.length === 0, "every answer is data or an error with a known code, within its deadline"],
    [load.failed < 0.03 * load.loads, "over 97 % of loads succeed"],
    [load.heldBack === 0, "the load generator kept its rate"],
    [growth.every((share) => share <= MOST_GROWTH), "memory grew by at most 15 % from the middle fifth to the last"],
    [pages.every((text) => text.includes("gateway_shared_cache_up 1")), "both gateways use Redis at the end"],
    [exits.every((code) => code === 0), "both gateways exit with 0 when stopped"],
  ];
  load.findings.slice(0, 20).forEach((finding) => console.log(`finding: ${finding}`));
  writeFileSync(join(folder, "soak.svg"), picture(samples, away, seconds));
  const text = page({ load, samples, pages, minutes, rate: RATE, begun, growth, checks, loads });
  writeFileSync(join(folder, "SOAK.md"), text);
  console.log(text);
  return checks.every(([held]) => held);
}

/** Samples memory every second, and prints progress now and then. */
function watch({ samples, gateways, load, now }) {
  return setInterval(() => {
    samples.push({ at: now(), rss: gateways.map(({ pid }) => rss(pid)) });
    if (samples.length % 30 === 0) {
      const mib = samples.at(-1).rss.map((bytes) => Math.round(bytes / 1024 / 1024));
      console.log(`${Math.round(now())} s: ${load.sent} sent, ${load.failed} of ${load.loads} loads failed, ${mib} MiB`);
    }
  }, 1000);
}

/** Memory in the last fifth relative to the middle fifth. */
function growthOf(values) {
  const fifth = (place) => values.slice((values.length * place) / 5, (values.length * (place + 1)) / 5);
  return median(fifth(4)) / median(fifth(2));
}

let held = false;
try {
  held = await soak();
} finally {
  endAll();
}
process.exit(held ? 0 : 1);
