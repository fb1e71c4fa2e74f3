// The "prettify" button for variables and headers. GraphiQL asks Prettier for it, whose JavaScript
// parser and printer weigh half a megabyte; this Prettier plugin does the same for JSON with the
// formatter that GraphiQL brings along anyway. Comments stay.

import { applyEdits, format } from "jsonc-parser";

const LAYOUT = { insertSpaces: true, tabSize: 2, eol: "\n" };

export const parsers = {
  jsonc: {
    astFormat: "json-text",
    parse: (text) => ({ text }),
    locStart: () => 0,
    locEnd: ({ text }) => text.length,
  },
};

export const printers = {
  "json-text": {
    print: ({ node: { text } }) => applyEdits(text, format(text, undefined, LAYOUT)),
  },
};
