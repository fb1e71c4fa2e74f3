// Names in documents must exist: settings, variables, codes, metrics, alerts, commands, steps, files.

import { existsSync, readdirSync, statSync } from "node:fs";

import { ROOT, anchor, links, page, tables, text } from "./pages.mjs";
import { commands, missing, unknownFlags } from "./shell.mjs";

const SETTINGS = text("docs/SETTINGS.md");
/** Fields of log lines that look like settings. */
const LOG_FIELDS = new Set(["upstream.status"]);
/** Words in capitals that are the system's or another program's. */
const OF_OTHERS = new Set([
  "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "TOKIO_WORKER_THREADS", "RUSTDOCFLAGS",
  "CARGO_TARGET_DIR", "UPDATE_DOCS", "INSTA_UPDATE", "SCREEN_RECORD_GATEWAY", "GATEWAY_URL",
]);
// The largest picture, in bytes.
const LARGEST_PICTURE = 150 * 1024;

/** Every `extensions.code` of the source. */
export function codes() {
  const found = text("src/domain/failure.rs").matchAll(/=> "([A-Z_]+)"/g);
  return new Set([...found].map(([, code]) => code));
}

/** The settings of the table, by key. */
export function settings() {
  return new Set([...SETTINGS.matchAll(/^\| `([a-z_.]+)` \| `--/gm)].map(([, key]) => key));
}

const known = {
  settings: settings(),
  sections: new Set([...settings()].filter((key) => key.includes(".")).map((key) => key.split(".")[0])),
  capitals: new Set([...codes(), ...OF_OTHERS, ...words(SETTINGS), ...words(text("schema.graphql"))]),
  metrics: text("docs/METRICS.md"),
  alerts: new Set([...text("deploy/observability/prometheus/rules.yml").matchAll(/alert: (\w+)/g)].map(([, name]) => name)),
  rust: filesUnder(["src", "tests", "bench"], ".rs"),
};
const source = known.rust.map(text).join("\n");

function words(source) {
  return source.match(/\b[A-Z][A-Z0-9]*(?:_{1,2}[A-Z0-9]+)+\b/g) ?? [];
}

function filesUnder(folders, ending) {
  const skipped = new Set(["node_modules", "target"]);
  const under = (folder) =>
    readdirSync(ROOT + folder, { withFileTypes: true }).flatMap((entry) => {
      if (entry.isDirectory()) return skipped.has(entry.name) ? [] : under(`${folder}/${entry.name}`);
      return entry.name.endsWith(ending) ? [`${folder}/${entry.name}`] : [];
    });
  return folders.flatMap(under);
}

/** The names in a page's inline code that do not exist. */
export function unknownNames(gateway, { code, prose, name }) {
  const inCode = code.flatMap((word) => [
    ...unknownSetting(word),
    ...unknownCapitals(word),
    ...unknownMetric(word),
    ...unknownTest(word),
    ...unknownFile(word, folderOf(name)),
    ...unknownCommand(gateway, word),
  ]);
  const alerts = [...prose.matchAll(/\bGateway[A-Z][A-Za-z]+\b/g)].map(([alert]) => alert);
  const unknownAlerts = alerts.filter((alert) => !known.alerts.has(alert)).map((alert) => `${alert} is no alert`);
  return [...new Set([...inCode, ...unknownAlerts])].map((problem) => `${name}: ${problem}`);
}

function folderOf(name) {
  return name.slice(0, name.lastIndexOf("/") + 1);
}

function unknownSetting(word) {
  const key = word.match(/^([a-z]+)\.([a-z_]+\*?)(?:=.*)?$/s);
  if (!key || !known.sections.has(key[1]) || LOG_FIELDS.has(word) || /\.(rs|toml|md|json|ts|mjs|js|html|css)$/.test(word)) return [];
  const full = `${key[1]}.${key[2]}`;
  const isKnown = full.endsWith("*")
    ? [...known.settings].some((one) => one.startsWith(full.slice(0, -1)))
    : known.settings.has(full);
  return isKnown ? [] : [`${full} is no setting`];
}

function unknownCapitals(word) {
  const found = word.match(/^([A-Z][A-Z0-9]*(?:_{1,2}[A-Z0-9]+)+)(?:=.*)?$/s);
  return !found || known.capitals.has(found[1]) || source.includes(`const ${found[1]}:`) ? [] : [`${found[1]} is no code, no value of the schema and no variable`];
}

function unknownMetric(word) {
  const found = word.match(/^(gateway_[a-z_]+)(?:\{.*)?$/);
  return !found || known.metrics.includes(`\`${found[1]}\``) ? [] : [`${found[1]} is no metric`];
}

// Five words or more with underscores are the name of a test, or of something else in the source.
function unknownTest(word) {
  const isName = /^[a-z]+(?:_[a-z0-9]+){4,}$/.test(word) && !word.startsWith("gateway_");
  return !isName || new RegExp(`\\b${word}\\b`).test(source) ? [] : [`${word} is no test`];
}

function unknownFile(word, folder) {
  if (/^(?:src|docs|tests|deploy|examples|bench|web)\/[\w./-]+$/.test(word)) {
    return existsSync(ROOT + word) || existsSync(ROOT + folder + word) ? [] : [`${word} is not there`];
  }
  const module = word.match(/^[\w/]+\.rs$/);
  return !module || known.rust.some((file) => `/${file}`.endsWith(`/${word}`)) ? [] : [`${word} is not there`];
}

function unknownCommand(gateway, word) {
  const [, command, rest] = word.match(/^screen-record-gateway ([a-z]+)(.*)$/s) ?? [];
  if (!command) return missing(word);
  if (!commands().includes(command)) return [`${command} is no command`];
  return unknownFlags(gateway, command, rest).map((flag) => `${command} has no flag ${flag}`);
}

/** Broken links, and pictures that are missing, too large or without a description. */
export function brokenLinks({ name, prose }) {
  const folder = folderOf(name);
  return links(prose).flatMap((link) => broken(folder, name, link).map((problem) => `${link.target}: ${problem}`));
}

function broken(folder, name, { isPicture, label, target }) {
  if (/^https?:/.test(target)) return URL.canParse(target) ? [] : ["is no address"];
  const [file, wanted] = target.split("#");
  const path = file ? new URL(folder + file, "file:///").pathname.slice(1) : name;
  if (!existsSync(ROOT + path)) return ["is not there"];
  if (isPicture) return wrongPicture(path, label);
  if (wanted === undefined) return [];
  const anchors = page(path, text(path)).headings.map(anchor);
  return anchors.includes(wanted) ? [] : ["there is no such heading"];
}

function wrongPicture(path, label) {
  const size = statSync(ROOT + path).size;
  return [...(label.length < 15 ? ["has no words for who cannot see it"] : []), ...(size > LARGEST_PICTURE ? ["is too heavy"] : [])];
}

/** The codes in the first column of a table, each with the cells of its row by column. */
export function codeTable(source, heading) {
  const table = tables(source).find(({ head }) => head[0].replaceAll("`", "") === heading);
  if (!table) return undefined;
  return table.rows.flatMap((row) =>
    [...row[0].matchAll(/`([A-Z_]+)`/g)].map(([, code]) => ({
      code,
      cells: Object.fromEntries(table.head.map((cell, index) => [cell.replaceAll("`", ""), row[index]])),
    })),
  );
}

/** Codes that a table lacks, and codes in it that do not exist. */
export function tableProblems(rows) {
  const listed = new Set(rows.map(({ code }) => code));
  const all = codes();
  return [
    ...[...all].filter((code) => !listed.has(code)).map((code) => `${code} is missing`),
    ...[...listed].filter((code) => !all.has(code)).map((code) => `${code} does not exist`),
  ];
}

/** Figures of a table with a column `from` that are not in the document it names. */
export function figureProblems(source, folder) {
  const cited = tables(source).filter(({ head }) => head.at(-1) === "from");
  if (cited.length === 0) return ["no table has a column `from`"];
  return cited.flatMap(({ rows }) =>
    rows.flatMap((row) => {
      const [{ target }] = links(row.at(-1));
      const stated = text(folder + target.split("#")[0]);
      const figures = row.slice(0, -1).join(" ").match(/\*\*[^*]+\*\*/g) ?? [];
      if (figures.length === 0) return [`the row ${row[0]} has no figure`];
      return figures.map((one) => one.slice(2, -2)).filter((one) => !stated.includes(one)).map((one) => `${target} does not say ${one}`);
    }),
  );
}

/** Versions in the table of tested software that no lock file has, or only another one. */
export function versionProblems(source) {
  const locked = lockedVersions();
  return tables(source).flatMap(({ rows }) =>
    rows.flatMap(([software, version]) => {
      const names = [...software.matchAll(/`([^`]+)`/g)].map(([, name]) => name);
      const stated = version.split(", ");
      if (names.length === 0 || names.length !== stated.length) return [`${software} has no version for each name`];
      return names.flatMap((name, index) => {
        const used = [...(locked.get(name) ?? [])];
        return used.length === 1 && used[0] === stated[index] ? [] : [`${name} ${stated[index]}: locked is ${used.join(" and ") || "none"}`];
      });
    }),
  );
}

/** The versions of each package that a package.json or a requirements.txt names, as locked. */
function lockedVersions() {
  const locked = new Map();
  const add = (name, version) => locked.set(name, (locked.get(name) ?? new Set()).add(version));
  for (const file of filesUnder(["tests", "examples", "web"], "package-lock.json")) {
    const { packages } = JSON.parse(text(file));
    const { dependencies = {}, devDependencies = {} } = packages[""];
    for (const name of Object.keys({ ...dependencies, ...devDependencies })) add(name, packages[`node_modules/${name}`].version);
  }
  for (const file of filesUnder(["tests"], "requirements.txt")) {
    for (const [, name, version] of text(file).matchAll(/^([\w.-]+)==(\S+)/gm)) add(name, version);
  }
  return locked;
}
