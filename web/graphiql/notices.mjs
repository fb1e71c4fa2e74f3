// The licences of everything that ends up in the bundle, for the file that travels with it. A
// licence that is not allowed stops the build.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const ALLOWED = new Set(["MIT", "ISC", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"]);

/** One text: each bundled package with its version, its licence and the licence's text. */
export async function notices(root, metafiles) {
  const parts = [];
  for (const folder of bundledPackages(metafiles)) {
    parts.push(await notice(root, folder));
  }
  return `${HEADER}\n${parts.join("\n")}`;
}

const HEADER = "GraphiQL as served by this gateway is built from these packages.\n";
const RULE = "=".repeat(80);

function bundledPackages(metafiles) {
  const folders = new Set();
  for (const { outputs } of metafiles) {
    for (const { inputs } of Object.values(outputs)) {
      for (const path of Object.keys(inputs)) {
        const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
        if (folder !== undefined) {
          folders.add(folder);
        }
      }
    }
  }
  return [...folders].sort();
}

async function notice(root, folder) {
  const { name, version, license } = JSON.parse(
    await readFile(join(root, folder, "package.json"), "utf8"),
  );
  if (!ALLOWED.has(license)) {
    throw new Error(`${name} ${version}: licence ${license} is not among ${[...ALLOWED].join(", ")}`);
  }

  const texts = [];
  for (const file of (await readdir(join(root, folder))).sort()) {
    if (/^(licen[cs]e|notice|thirdpartynotices)/i.test(file)) {
      texts.push((await readFile(join(root, folder, file), "utf8")).replaceAll("\r\n", "\n").trim());
    }
  }
  return [RULE, `${name} ${version} (${license})`, RULE, ...texts, ""].join("\n");
}
