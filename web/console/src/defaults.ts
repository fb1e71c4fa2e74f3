/** What the server wrote into the page. Only the demo fills it in. */
export interface Defaults {
  projectId?: string;
  token?: string;
}

export function readDefaults(): Defaults {
  const content = document.querySelector<HTMLMetaElement>('meta[name="console-defaults"]')?.content;
  try {
    return JSON.parse(content ?? "{}") as Defaults;
  } catch {
    // The development server leaves the placeholder in the page.
    return {};
  }
}
