// Parses documents: fenced blocks, links, headings, tables, inline code.

import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** A file of the repository as text. */
export function text(path) {
  return readFileSync(ROOT + path, "utf8");
}

/** Every checked document: README, ARCHITECTURE, CHANGELOG, all of docs, and the examples' pages. */
export function pages() {
  const inDocs = readdirSync(`${ROOT}docs`).filter((name) => name.endsWith(".md"));
  const examples = ["examples/federation/README.md", "web/console/README.md"];
  const names = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", ...inDocs.map((name) => `docs/${name}`), ...examples];
  return names.map((name) => page(name, text(name)));
}

/** A parsed document. */
export function page(name, source) {
  const { blocks, prose, problems } = split(source);
  return {
    name,
    source,
    prose,
    problems: [...problems, ...brokenTables(prose)],
    blocks: blocks.map((block) => ({
      ...block,
      page: name,
      name: `${name}:${block.line} ${block.lang || "block without a language"}`,
    })),
    headings: [...prose.matchAll(/^#{1,6} +(.+)$/gm)].map(([, heading]) => heading),
    code: [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code),
  };
}

/** The blocks between fences, and the text around them. */
function split(source) {
  const blocks = [];
  const prose = [];
  let open;
  let mark = "";
  let adjacent = false;
  source.split("\n").forEach((line, index) => {
    const fence = line.match(/^( *)(`{3,})(.*)$/);
    if (open && fence && fence[2] === open.fence && !fence[3]) {
      blocks.push({ ...open, text: open.lines.map((one) => one.slice(open.indent)).join("\n") + "\n" });
      [open, mark, adjacent] = [undefined, "", true];
    } else if (open) {
      open.lines.push(line);
    } else if (fence) {
      const follows = adjacent && !mark ? blocks.at(-1)?.line : undefined;
      open = { lang: fence[3].trim(), line: index + 1, indent: fence[1].length, fence: fence[2], lines: [], mark, follows };
    } else {
      prose.push(line);
      if (line.trim()) adjacent = false;
      const comment = line.match(/^ *<!-- (.+) -->$/);
      mark = comment ? comment[1] : line.trim() ? "" : mark;
    }
  });
  return { blocks, prose: prose.join("\n"), problems: open ? [`the block of line ${open.line} has no end`] : [] };
}

/** The tables of a text: each a list of rows of cells, the head first. */
export function tables(source) {
  const found = [[]];
  for (const line of source.split("\n")) {
    if (/^\|.*\|$/.test(line)) found.at(-1).push(line.slice(1, -1).split(/(?<!\\)\|/).map((cell) => cell.trim()));
    else if (found.at(-1).length > 0) found.push([]);
  }
  return found.filter((table) => table.length > 2).map(([head, , ...rows]) => ({ head, rows }));
}

/** Rows outside a table: a table must begin with a head and a separator. */
function brokenTables(prose) {
  const lines = prose.split("\n");
  const begins = (line, index) => line.startsWith("|") && !lines[index - 1]?.startsWith("|");
  return lines.filter((line, index) => begins(line, index) && !/^\| ?:?-+/.test(lines[index + 1] ?? "")).map((line) => `no table: ${line}`);
}

/** The anchor that GitHub gives a heading. */
export function anchor(heading) {
  const shown = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
  return shown.replace(/[^\p{L}\p{N}\p{M} _-]/gu, "").replaceAll(" ", "-");
}

/** Links and pictures of a page. */
export function links(prose) {
  const withoutCode = prose.replace(/`[^`\n]*`/g, "");
  return [...withoutCode.matchAll(/(!?)\[([^\]]*)\]\(([^)\s]+)\)/g)].map(([, picture, label, target]) => ({
    isPicture: picture === "!",
    label,
    target,
  }));
}
