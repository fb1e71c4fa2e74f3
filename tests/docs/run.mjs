// Checks every block, link and name of the documents with a running demo, the schema and the source.
//
// node run.mjs BINARY
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

import { run } from "../support/checks.mjs";
import { difference, lineDifference } from "./answers.mjs";
import { CAUSES, retryableOf } from "./causes.mjs";
import { TOKEN, ask, firstState, startAll, stopAll } from "./gateway.mjs";
import { brokenLinks, codeTable, figureProblems, tableProblems, unknownNames, versionProblems } from "./names.mjs";
import { ROOT, page, pages, text } from "./pages.mjs";
import { addressed, category, logicalLines, missing, removeFolders, runLines, syntaxProblem } from "./shell.mjs";

const CLIENTS = new URL("../clients/", import.meta.url);
const require = createRequire(new URL("package.json", CLIENTS));
const { buildClientSchema, buildSchema, getIntrospectionQuery, parse, validate } = require("graphql");

const binary = process.argv[2];
if (!binary) {
  console.error("usage: node run.mjs BINARY");
  process.exit(2);
}

/** Tokens, each with the public key that has signed it. */
const SIGNED = JSON.parse(readFileSync(new URL("../fixtures/jwt/signed.json", import.meta.url), "utf8"));
/** Blocks without a language, by their first line: drawings, which cannot be run. */
const DRAWINGS = new Set(["HTTP request → http → graphql → records → upstream → wire → normalize → domain value or Failure"]);
/** Blocks with a mark that another step runs: the file that does, and a text in it that shows it. */
const RUN_ELSEWHERE = {
  run: ["tests/deploy/test_page.py", "<!-- run -->"],
  apollo: ["tests/clients/frontends.mjs", 'documented("apollo")'],
  urql: ["tests/clients/frontends.mjs", 'documented("urql")'],
};
/** Variables of documents, where none are given. */
const VARIABLES = {
  projectId: "089b2f9a3d80d3062f24c00ca4ed5cbd",
  id: "2ac2ce17-a579-4a3b-a534-a6a6b7fd0b63",
  after: null,
};

const unrun = new Map();
let elsewhere = 0;
let gateway;
let schema;
let subgraph;

/** Checks a block, and the block right after it as its expected output. Throws if a check fails. */
async function holds(block, answer) {
  const [name, value] = block.mark.split(/: ?/);
  if (name === "from") return isExcerpt(block, value);
  if (name in RUN_ELSEWHERE) return isRunElsewhere(block, RUN_ELSEWHERE[name]);
  if (block.mark && !/^exit \d+$/.test(block.mark)) throw new Error(`nothing is known of the mark ${block.mark}`);
  const kind = KINDS[block.lang];
  if (!kind) throw new Error(`there is no way to hold a block of the kind ${block.lang || "without language"}; see tests/docs/run.mjs`);
  return kind(block, answer);
}

const KINDS = {
  "": isDrawing,
  sh: ofShell,
  bash: ofShell,
  graphql: ofGraphql,
  json: ofJson,
  js: ofScript,
  toml: ofToml,
  env: ofEnvironment,
};

function isExcerpt(block, path) {
  if (!text(path).includes(block.text.trim())) throw new Error(`${path} does not have these lines`);
}

function isRunElsewhere(block, [file, sign]) {
  if (!text(file).includes(sign)) throw new Error(`${file} does not run it`);
  elsewhere += 1;
  const wrong = block.lang === "sh" ? syntaxProblem(block.text) : undefined;
  if (wrong) throw new Error(wrong);
}

function isDrawing(block) {
  if (!DRAWINGS.has(block.text.split("\n")[0])) throw new Error("a block without a language is nothing that could be held");
}

async function ofShell(block, answer) {
  const wrong = syntaxProblem(block.text);
  if (wrong) throw new Error(wrong);
  const lines = logicalLines(block.text);
  const sorted = lines.map((line) => ({ line, ...category(line) }));
  const unknown = sorted.filter((one) => one.unknown);
  if (unknown.length > 0) throw new Error(`in no category: ${unknown.map((one) => one.unknown).join("; ")}`);
  const absent = lines.flatMap(missing);
  if (absent.length > 0) throw new Error(absent.join("; "));
  for (const { why } of sorted.filter((one) => one.why)) unrun.set(why, (unrun.get(why) ?? 0) + 1);
  const runnable = sorted.filter((one) => one.run).map((one) => one.line);
  if (runnable.length === 0 && answer) throw new Error("an answer is shown to what is not run");
  if (runnable.length > 0) compare(answer, await runLines(gateway, block.page, runnable, { status: ending(block) }));
}

/** The expected exit status of a block's commands, from the mark `exit N`. */
function ending(block) {
  return Number(block.mark.match(/^exit (\d+)$/)?.[1] ?? 0);
}

/** Compares expected and actual output, as JSON or line by line. */
function compare(answer, came) {
  if (!answer) return;
  const differs =
    answer.lang === "json" ? difference(JSON.parse(answer.text), JSON.parse(came)) : lineDifference(answer.text, came);
  if (differs) throw new Error(differs);
}

async function ofGraphql(block, answer) {
  const document = parse(block.text);
  const isSchema = document.definitions.some(({ kind }) => /Type|Schema/.test(kind));
  if (isSchema) return composes(block);
  const against = /\b_(?:entities|service)\b/.test(block.text) ? subgraph : schema;
  const invalid = validate(against, document);
  if (invalid.length > 0) throw new Error(invalid.map(({ message }) => message).join("; "));
  for (const operation of document.definitions.filter(({ kind }) => kind === "OperationDefinition")) {
    const variables = variablesOf(operation);
    const body = { query: block.text, variables, operationName: operation.name?.value };
    const came = operation.operation === "subscription" ? await firstState(gateway, body) : (await ask(gateway, body)).body;
    if (!answer && came.errors) throw new Error(JSON.stringify(came.errors));
    compare(answer, JSON.stringify(came));
  }
}

function variablesOf(operation) {
  const names = (operation.variableDefinitions ?? []).map(({ variable }) => variable.name.value);
  const unknown = names.filter((name) => !(name in VARIABLES));
  if (unknown.length > 0) throw new Error(`nothing is known to give for $${unknown.join(", $")}`);
  return Object.fromEntries(names.map((name) => [name, VARIABLES[name]]));
}

/** Another graph of a document composes with the gateway's. */
function composes(block) {
  const federation = createRequire(new URL("../federation/package.json", import.meta.url));
  const { composeServices } = federation("@apollo/composition");
  const { parse: parsed } = federation("graphql");
  const sdl = spawnSync(binary, ["schema", "--federation"], { encoding: "utf8", env: {} }).stdout;
  const { errors } = composeServices([
    { name: "recordings", url: "http://recordings.example", typeDefs: parsed(sdl) },
    { name: "documented", url: "http://documented.example", typeDefs: parsed(block.text) },
  ]);
  if (errors) throw new Error(errors.map(({ message }) => message).join("; "));
}

/** The body of a request. Expected answers are handled elsewhere. */
async function ofJson(block, answer) {
  const body = JSON.parse(block.text);
  const first = [body].flat()[0];
  if (typeof first?.query !== "string") throw new Error("JSON that is neither an answer to the block before it nor a request");
  const came = (await ask(gateway, body)).body;
  if (!answer && [came].flat().some(({ errors }) => errors)) throw new Error(JSON.stringify(came));
  compare(answer, JSON.stringify(came));
}

/** A script is run among the packages of the clients, with the demo in place of its addresses. */
function ofScript(block, answer) {
  const file = new URL(`node_modules/.documented-${block.line}.mjs`, CLIENTS);
  writeFileSync(file, addressed(gateway, block.text));
  const ran = spawnSync("node", [file.pathname], { encoding: "utf8", timeout: 30_000 });
  rmSync(file);
  if (ran.status !== 0) throw new Error(ran.stderr || ran.stdout || String(ran.error));
  compare(answer, ran.stdout);
}

async function ofToml(block) {
  const isKeys = /^\[\[key\]\]/m.test(block.text);
  const filled = block.text
    .replace(/"…[^"]*"/g, `"${"0".repeat(64)}"`)
    // No issuer of an example can be reached: its keys come from a file.
    .replace(/^(jwt_jwks = )"https:[^"]*"/m, '$1"keys.json"');
  const flags = isKeys ? "--inbound-auth=api-key --inbound-api-keys-file=given.toml" : "--config=given.toml";
  await runLines(gateway, block.page, [`screen-record-gateway check ${flags}`], {
    files: { "given.toml": filled, "keys.json": JSON.stringify({ keys: SIGNED.map(({ key }) => key) }) },
  });
}

async function ofEnvironment(block) {
  const lines = block.text.split("\n").filter((line) => line && !line.startsWith("#"));
  const environment = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
  await runLines(gateway, block.page, ["screen-record-gateway check"], { environment });
}

/** One check for each block of a page, one for its links, one for its names. */
function checksOf(one) {
  const checks = {};
  const answers = new Map(one.blocks.filter(isAnswer).map((block) => [block.follows, block]));
  for (const block of one.blocks.filter((candidate) => !isAnswer(candidate))) {
    checks[block.name] = () => holds(block, answers.get(block.line));
  }
  checks[`${one.name}: links lead somewhere, and pictures are there`] = () => none(brokenLinks(one));
  checks[`${one.name}: what it names exists`] = () => none([...one.problems, ...unknownNames(gateway, one)]);
  return checks;
}

/** A block right below another one, without text between them, is its expected output. */
function isAnswer(block) {
  return block.follows !== undefined && ["json", "text"].includes(block.lang);
}

function none(problems) {
  if (problems.length > 0) throw new Error(problems.join("\n        "));
}

const ofTheWhole = {
  "the README's table of errors has every code of the source and no other": () =>
    none(tableProblems(codeTable(text("README.md"), "extensions.code"))),
  "the table of errors for frontends has every code of the source and no other": () =>
    none(tableProblems(codeTable(text("docs/FRONTENDS.md"), "code"))),
  "each code that the demo can be brought to give is retryable as both tables say": async () => {
    const tables = [codeTable(text("README.md"), "extensions.code"), codeTable(text("docs/FRONTENDS.md"), "code")];
    for (const [code, cause] of Object.entries(CAUSES)) {
      if (cause.heldBy) continue;
      const { body } = await ask(gateway, cause.body, cause.headers);
      const error = [body].flat()[0].errors?.[0];
      if (error?.extensions.code !== code) throw new Error(`${code}: ${JSON.stringify(body)}`);
      for (const rows of tables) none(retryableOf(rows, code, error.extensions.retryable));
    }
  },
  "each code has a cause, or a place in the source that gives it": () => {
    none(tableProblems(Object.keys(CAUSES).map((code) => ({ code }))));
    for (const [code, { heldBy }] of Object.entries(CAUSES)) {
      if (heldBy && !text(heldBy[0]).includes(`fn ${heldBy[1]}(`)) throw new Error(`${code}: ${heldBy.join(" has no ")}`);
    }
  },
  "versions of tested software are those of the lock files": () => none(versionProblems(text("docs/CLIENTS.md"))),
  "the README names the oldest Rust that builds it": () => {
    const oldest = text("Cargo.toml").match(/^rust-version = "(.+)"$/m)[1];
    none(text("README.md").includes(`[Rust](https://rustup.rs) ${oldest} or newer`) ? [] : [`it does not name ${oldest}`]);
  },
  "figures for sizing are those that were measured": () => none(figureProblems(text("docs/DEPLOYMENT.md"), "docs/")),
  "the console has words for the codes that a person can meet": () => {
    const words = text("web/console/src/texts/en.ts");
    const met = codeTable(text("docs/FRONTENDS.md"), "code").filter(({ cells }) => !cells["tell a person"].includes("–"));
    none(met.filter(({ code }) => !words.includes(`${code}:`)).map(({ code }) => `${code} has none`));
  },
};

/** Negative controls: each of these pages must fail. */
const BROKEN = {
  "a command that ends well where it is said to fail": "<!-- exit 1 -->\n```sh\necho one\n```\n",
  "a program that is in no category": "```sh\nfrobnicate --all\n```\n",
  "a syntax that is none": "```sh\nif true; fi\n```\n",
  "a step of ./test that is not there": "```sh\n./test nonsense\n```\n",
  "a command that the gateway has not": "```sh\nscreen-record-gateway frobnicate\n```\n",
  "a flag that the gateway has not": "```sh\nscreen-record-gateway serve --frobnicate\n```\n",
  "a language that is in no category": "```cobol\nSTOP RUN.\n```\n",
  "a block without a language": "```\nanything\n```\n",
  "a mark that nothing knows": "<!-- nonsense -->\n```js\nlet a;\n```\n",
  "an excerpt that is not there": "<!-- from: Cargo.toml -->\n```toml\nnonsense = 1\n```\n",
  "a field that the schema has not": "```graphql\n{ nonsense }\n```\n",
  "a query that is answered with an error": '```graphql\n{ screenRecord(projectId: "p", id: "x") { id } }\n```\n',
  "an answer that is another one": '```graphql\n{ __typename }\n```\n\n```json\n{ "data": { "__typename": "Mutation" } }\n```\n',
  "an output that is another one": "```sh\necho one\n```\n\n```text\ntwo\n```\n",
  "JSON that belongs to nothing": '```json\n{ "a": 1 }\n```\n',
  "a script that fails": '```js\nthrow new Error("no");\n```\n',
  "a setting in a file that is none": "```toml\nnonsense = 1\n```\n",
  "a variable that is none": "```env\nGATEWAY_NONSENSE=1\n```\n",
  "a link to nowhere": "[words](docs/NOTHING.md)\n",
  "a heading that is not there": "[words](README.md#nothing)\n",
  "a picture without words": "![](docs/soak.svg)\n",
  "a setting in the text that is none": "`cache.nonsense`\n",
  "a code that is none": "`NO_SUCH_CODE`\n",
  "a metric that is none": "`gateway_nonsense_total`\n",
  "a test that is none": "`nobody_has_ever_written_this_test`\n",
  "an alert that is none": "GatewayNonsense\n",
  "a file that is none": "`src/nonsense.rs`\n",
  "a row without a table": "words\n\n| one | two |\n\nwords\n",
  "a block without an end": "```sh\ntrue\n",
};

function isNoticed(source) {
  return async () => {
    const found = [];
    for (const check of Object.values(checksOf(page("README.md", source)))) {
      await Promise.resolve().then(check).catch((error) => found.push(error));
    }
    if (found.length === 0) throw new Error("was not noticed");
  };
}

function selfChecks() {
  return Object.fromEntries(Object.entries(BROKEN).map(([name, source]) => [`noticed: ${name}`, isNoticed(source)]));
}

gateway = await startAll(binary);
try {
  schema = buildSchema(readFileSync(`${ROOT}schema.graphql`, "utf8"));
  const asked = await ask(gateway, { query: getIntrospectionQuery() }, { "x-auth-token": TOKEN });
  subgraph = buildClientSchema(asked.body.data);
  const checks = Object.assign({}, ...pages().map(checksOf), ofTheWhole, selfChecks());
  const counts = await run(withNotes(checks));
  process.exitCode = counts === 0 ? 0 : 1;
} finally {
  removeFolders();
  await stopAll();
}

/** Prints, before the counts, what was not run, and why. */
function withNotes(checks) {
  const said = {
    "commands that are not run here are told of": () => {
      console.log(`\nParsed, and not run here (${elsewhere} blocks more are run by other steps):`);
      for (const [why, lines] of unrun) console.log(`  ${String(lines).padStart(3)}  ${why}`);
      console.log("");
    },
  };
  return { ...checks, ...said };
}
