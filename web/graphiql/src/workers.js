// Monaco's language services run beside the page, from a file of our own next to this one.

globalThis.MonacoEnvironment = {
  getWorker: (_id, language) => new Worker(new URL("worker.js", import.meta.url), { name: language }),
};
