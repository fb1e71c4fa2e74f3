// Builds GraphiQL, its editor and its worker into files with fixed names, which the gateway embeds:
// `node build.mjs [FOLDER]`. Equal packages give equal bytes.

import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { bundle } from "./bundle.mjs";
import { notices } from "../notices.mjs";

const root = dirname(fileURLToPath(import.meta.url));
const output = resolve(process.argv[2] ?? join(root, "../../src/http/graphiql/assets"));

const { outputFiles, metafiles } = await bundle(root, output);
const modules = metafiles
  .flatMap(({ outputs }) => Object.values(outputs))
  .flatMap(({ inputs }) => Object.keys(inputs));
const thirdParties = await notices("GraphiQL", root, modules);

await rm(output, { recursive: true, force: true });
await mkdir(output, { recursive: true });
for (const { path, contents } of outputFiles) {
  await writeFile(path, contents);
}
for (const name of ["index.html", "icon.svg"]) {
  await copyFile(join(root, "src", name), join(output, name));
}
await writeFile(join(output, "notices.txt"), thirdParties);
