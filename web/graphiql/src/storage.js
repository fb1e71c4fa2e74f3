// GraphiQL remembers tabs and history in the browser's storage, and its history holds the headers
// of each run, whatever `shouldPersistHeaders` says. A token must not outlive the page, so headers
// are taken out of everything on its way to the storage.

const PREFIX = "graphiql:";
const HEADERS_EDITOR = `${PREFIX}headers`;
const HOLDS_HEADERS = new Set(["tabState", "queries", "favorites"].map((name) => PREFIX + name));

/** The browser's storage for everything but headers; `null` where the browser allows none. */
export function storageWithoutHeaders(window) {
  let storage;
  try {
    storage = window.localStorage;
  } catch {
    return null;
  }

  return {
    getItem: (key) => storage.getItem(key),
    setItem: (key, value) => {
      if (key !== HEADERS_EDITOR) {
        storage.setItem(key, HOLDS_HEADERS.has(key) ? withoutHeaders(value) : value);
      }
    },
    removeItem: (key) => storage.removeItem(key),
    clear: () => ownKeys(storage).forEach((key) => storage.removeItem(key)),
    get length() {
      return ownKeys(storage).length;
    },
  };
}

function ownKeys(storage) {
  return Object.keys(storage).filter((key) => key.startsWith(PREFIX));
}

function withoutHeaders(json) {
  return JSON.stringify(JSON.parse(json), (name, value) => (name === "headers" ? null : value));
}
