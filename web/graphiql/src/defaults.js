// What the editors show at first: the address wins, then what the server wrote into the page,
// then what is below. Headers never come from the address: a link must not choose a token.

const FALLBACK_QUERY = `# One recording of a desktop session.
#
# 1. Paste your token under "Headers" below.
# 2. Put the two ids under "Variables".
# 3. Press Ctrl-Enter, or the button here.
#
# The book at the top left shows the schema;
# Ctrl-Space completes what you type.

query Recording($projectId: ID!, $id: ID!) {
  screenRecord(projectId: $projectId, id: $id) {
    id
    desktopName
    username
    type
    status
    startTime
    endTime
    duration
    size
  }
}
`;

const FALLBACK_HEADERS = `{
  // Kept in this page's memory only. Your token:
  // "X-Auth-Token": ""
}`;

/** The contents of the three editors; `undefined` leaves an editor as the last visit left it. */
export function readDefaults(document, location) {
  const offered = offeredByServer(document);
  const asked = new URLSearchParams(location.search);

  return {
    fallbackQuery: FALLBACK_QUERY,
    query: asked.get("query") ?? text(offered.query),
    variables: asked.get("variables") ?? json(offered.variables),
    headers: json(offered.headers) ?? FALLBACK_HEADERS,
  };
}

function offeredByServer(document) {
  const content = document.querySelector('meta[name="graphiql-defaults"]')?.content;
  try {
    const offered = JSON.parse(content);
    return typeof offered === "object" && offered !== null ? offered : {};
  } catch {
    // Nothing offered: the placeholder is still there, or the attribute is empty.
    return {};
  }
}

function text(value) {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** An editor's text for an object, or for text that already is JSON. */
function json(value) {
  if (typeof value === "object" && value !== null) {
    return JSON.stringify(value, null, 2);
  }
  return text(value);
}
