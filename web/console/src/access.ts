import { readDefaults } from "./defaults.ts";

/** The project that is shown and the token that reads it. */
export interface Access {
  projectId: string;
  token: string;
}

/** Session storage ends with the tab. A token must not outlive it. */
const KEY = "console.access";

export function loadAccess(): Access {
  const { projectId = "", token = "" } = readDefaults();
  const stored = sessionStorage.getItem(KEY);
  return { projectId, token, ...(stored ? (JSON.parse(stored) as Partial<Access>) : {}) };
}

export function storeAccess(access: Access): void {
  sessionStorage.setItem(KEY, JSON.stringify(access));
}
