// The licences of the packages in a bundle, as one text that the gateway serves with it. A licence
// that is not allowed stops the build.

import { readdir, readFile } from "node:fs/promises";
import { resolve } from "node:path";

const ALLOWED = new Set(["MIT", "ISC", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"]);

/** Each bundled package with its version, its licence and the licence's text. `modules` are the paths of the bundled files. */
export async function notices(page, root, modules) {
  const parts = [];
  for (const folder of packagesOf(modules)) {
    parts.push(await notice(root, folder));
  }
  return `${page} as served by this gateway is built from these packages.\n\n${parts.join("\n")}`;
}

const RULE = "=".repeat(80);

function packagesOf(modules) {
  const folders = modules.map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  return [...new Set(folders.filter((folder) => folder !== undefined))].sort();
}

async function notice(root, folder) {
  const { name, version, license } = JSON.parse(
    await readFile(resolve(root, folder, "package.json"), "utf8"),
  );
  if (!ALLOWED.has(license)) {
    throw new Error(`${name} ${version}: licence ${license} is not among ${[...ALLOWED].join(", ")}`);
  }

  const texts = [];
  for (const file of (await readdir(resolve(root, folder))).sort()) {
    if (/^(licen[cs]e|notice|thirdpartynotices)/i.test(file)) {
      texts.push((await readFile(resolve(root, folder, file), "utf8")).replaceAll("\r\n", "\n").trim());
    }
  }
  return [RULE, `${name} ${version} (${license})`, RULE, ...texts, ""].join("\n");
}
