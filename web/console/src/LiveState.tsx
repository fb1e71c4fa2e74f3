import { useSyncExternalStore } from "react";

import { useGateway } from "./gateway.ts";
import { useWords } from "./language.tsx";

/** Whether live updates arrive right now. */
export function LiveState() {
  const { texts } = useWords();
  const { connection } = useGateway();
  const state = useSyncExternalStore(connection.subscribe, connection.get);
  const words = { open: texts.live.on, lost: texts.live.lost, idle: texts.live.connecting };
  return <span className={`live ${state}`}>{words[state]}</span>;
}
