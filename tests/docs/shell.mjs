// Commands in the documents: which are run and how, and which are only parsed and why.

import { execFile, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ACCESS_KEY, PROJECT } from "./gateway.mjs";
import { text } from "./pages.mjs";

/** Programs that are run as they are written. */
const RUN = new Set(["screen-record-gateway", "curl", "openssl", "printf", "sha256sum", "umask", "cat", "echo", "mkdir", "tr", "cut", "jq"]);

/** Programs that are not run here, and why. `bash -n` parses their lines, and names in them must exist. */
export const NOT_RUN = {
  cargo: "builds for minutes; the steps rust, lint and doc do",
  "./test": "is what runs this",
  "apt-get": "changes the system; tests/fresh-machine follows the README",
  just: "calls pieces of ./test and cargo",
  docker: "builds for minutes; step containers builds the image and starts the compose files",
  kubectl: "needs a cluster; step deploy holds the manifests",
  helm: "needs a cluster",
  systemctl: "needs systemd as the first process; step deploy holds the unit",
  journalctl: "needs systemd as the first process",
  "systemd-analyze": "needs systemd as the first process; step deploy holds the unit",
  install: "writes to the system; step deploy holds the files",
  kill: "ends a process of the reader's",
  npm: "installs from the network; steps federation and browser do that",
  npx: "installs from the network",
  router: "comes from no package registry",
  "bench/run": "takes minutes; step bench runs it in short",
  "tests/soak/run": "takes ten minutes",
  "deploy/release": "builds a release for minutes",
  "fuzz/run": "takes minutes; step fuzz runs it in short",
  "web/graphiql/build": "is run by step graphiql",
  git: "changes the reader's copy",
  cd: "leads to what is not run",
};

/** Lines that are not run although their program is, by a name in them. */
export const NOT_RUN_LINES = [
  [/127\.0\.0\.1:4000\b/, "asks a router; step federation runs one"],
  [/curl .*https:\/\/(?:localhost|127\.0\.0\.1):8080/, "asks a gateway with TLS; step tls runs one"],
];

/** What stands for `…` where a document leaves a value to its reader. */
const GIVEN = {
  GATEWAY_IAM__USER: "user",
  GATEWAY_IAM__DOMAIN: "account",
  GATEWAY_IAM__PASSWORD_FILE: "iam-password",
};

/** A block's logical lines: continued lines, texts in quotes and here-documents are one, comments none. */
export function logicalLines(block) {
  const lines = [];
  let until;
  let continued = false;
  for (const line of block.split("\n")) {
    if (until !== undefined || continued) lines[lines.length - 1] += `\n${line}`;
    else if (line.trim() && !line.trim().startsWith("#")) lines.push(line);
    else continue;
    if (line === until) until = undefined;
    else if (until === undefined) until = line.match(/<<-?'?(\w+)'?/)?.[1];
    const isOpen = until === undefined && (lines.at(-1).replace(/"[^"']*"/g, "").split("'").length - 1) % 2 === 1;
    continued = until === undefined && (line.endsWith("\\") || isOpen);
  }
  return lines;
}

/** The programs that a logical line calls. */
export function programs(line) {
  const [command] = line.split(/<<-?'?\w+'?/);
  const bare = command.replace(/\\\n/g, " ").replace(/'[^']*'/g, "q").replace(/"[^"]*"/g, "q").replace(/ #.*$/gm, "");
  return bare
    .split(/&&|\|\||[|;&\n]/)
    .map((part) => part.trim().split(/\s+/).find((word) => word && !/^\w+=/.test(word)))
    .filter(Boolean);
}

/** The category of a line: run, or not run and why. A line without one is a problem. */
export function category(line) {
  const known = NOT_RUN_LINES.find(([pattern]) => pattern.test(line));
  if (known) return { why: known[1] };
  const called = programs(line);
  const unrun = called.find((program) => program in NOT_RUN);
  if (unrun) return { why: NOT_RUN[unrun], program: unrun };
  const unknown = called.filter((program) => !RUN.has(program));
  return unknown.length > 0 || called.length === 0 ? { unknown: unknown.join(", ") || line } : { run: true };
}

/** The syntax error that bash reports. */
export function syntaxProblem(block) {
  const read = spawnSync("bash", ["-n"], { input: block, encoding: "utf8" });
  return read.status === 0 ? undefined : read.stderr;
}

/** Steps, recipes, scripts and commands that a line names and that do not exist. */
export function missing(line) {
  const bare = line.replace(/ #.*$/gm, "");
  const steps = bare.match(/(?:^|\s)\.\/test((?: [a-z]+)+)/)?.[1].trim().split(" ") ?? [];
  const recipe = bare.match(/(?:^|\s)just ([a-z]+)/)?.[1];
  const command = bare.match(/cargo run[^#]* -- ([a-z]+)/)?.[1];
  return [
    ...steps.filter((step) => !text("test").includes(`\nstep_${step}() {`)).map((step) => `there is no step ${step}`),
    ...(recipe && !new RegExp(`^${recipe}\\b.*:`, "m").test(text("justfile")) ? [`there is no recipe ${recipe}`] : []),
    ...(command && !commands().includes(command) ? [`there is no command ${command}`] : []),
  ];
}

/** The gateway's commands, by its source. */
export function commands() {
  const list = text("src/config/command_line.rs").match(/COMMANDS: [^=]+=\s*\[([^\]]+)\]/)[1];
  return [...list.matchAll(/"([a-z]+)"/g)].map(([, name]) => name);
}

/** The addresses in a document that are replaced by those of the demo. */
export function addressed(gateway, source) {
  return source
    .replaceAll(/(?:127\.0\.0\.1|localhost):8080\b/g, gateway.demo)
    .replaceAll(/(?:127\.0\.0\.1|localhost):8081\b/g, gateway.admin);
}

const folders = new Map();

/** Runs lines of a page, which end with a status; what they print, and what they complain of where they fail. A page has one folder, so later lines find what earlier ones made. */
export function runLines(gateway, page, lines, { environment = {}, files = {}, status = 0 } = {}) {
  const folder = folderOf(gateway, page);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const script = addressed(gateway, lines.join("\n")).replace(/\b([A-Z_]+)=…/g, (_, name) => `${name}=${given(name)}`);
  return bash(script, folder, { ...surroundings(gateway, folder), ...environment }, status);
}

function folderOf(gateway, page) {
  if (!folders.has(page)) {
    const folder = mkdtempSync(join(tmpdir(), "docs-"));
    folders.set(page, folder);
    prepare(folder, gateway);
  }
  return folders.get(page);
}

/** Removes the folders of all pages. */
export function removeFolders() {
  for (const folder of folders.values()) rmSync(folder, { recursive: true, force: true });
  folders.clear();
}

function given(name) {
  if (!(name in GIVEN)) throw new Error(`nothing is known to give for ${name}`);
  return GIVEN[name];
}

/** `check`, which takes the same settings, runs in place of `serve`; other servers are started and stopped. */
function prepare(folder, gateway) {
  const wrapper = `#!/bin/bash
command=$1; shift
case $command in
serve) exec '${gateway.binary}' check "$@" ;;
demo | simulate)
    exec 3< <(exec '${gateway.binary}' "$command" "$@")
    pid=$!
    read -r -u 3 _ && kill "$pid" ;;
*) exec '${gateway.binary}' "$command" "$@" ;;
esac
`;
  mkdirSync(join(folder, "bin"));
  writeFileSync(join(folder, "bin/screen-record-gateway"), wrapper);
  chmodSync(join(folder, "bin/screen-record-gateway"), 0o755);
  writeFileSync(join(folder, "iam-password"), "password\n");
}

/** The simulated upstream in place of the real one, with credentials that it accepts. */
function surroundings(gateway, folder) {
  const [ak, sk] = ACCESS_KEY;
  return {
    PATH: `${folder}/bin:${process.env.PATH}`,
    HOME: folder,
    GATEWAY_UPSTREAM__ENDPOINT: gateway.upstream,
    // The region of a table has no other address here.
    HUAWEICLOUD_SDK_REGION_WORKSPACE_AP_SOUTHEAST_3: gateway.upstream,
    GATEWAY_UPSTREAM__METADATA_ENDPOINT: gateway.upstream,
    HUAWEICLOUD_SDK_IAM_ENDPOINT: gateway.upstream,
    HUAWEICLOUD_SDK_PROJECT_ID: PROJECT,
    HUAWEICLOUD_SDK_AK: ak,
    HUAWEICLOUD_SDK_SK: sk,
  };
}

function bash(script, folder, env, status) {
  return new Promise((resolve, reject) => {
    const options = { cwd: folder, env, timeout: 60_000 };
    execFile("bash", ["--norc", "-euo", "pipefail", "-c", script], options, (error, stdout, stderr) => {
      if ((error?.code ?? 0) !== status) reject(new Error(`${error?.message ?? `ended well, and not with ${status}`}\n${stdout}${stderr}`));
      else resolve(error ? stdout + stderr : stdout);
    });
  });
}

/** Whether a command takes each flag that a document gives it. */
export function unknownFlags(gateway, command, rest) {
  const help = spawnSync(gateway.binary, [command, "--help"], { encoding: "utf8", env: {} }).stdout;
  return [...rest.matchAll(/(?:^|\s)(--[a-z][a-z-]*)/g)].map(([, flag]) => flag).filter((flag) => !help.includes(flag));
}
