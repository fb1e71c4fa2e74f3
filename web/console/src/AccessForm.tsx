import {
  createContext, type FormEvent, type ReactNode, useContext, useEffect, useId, useMemo, useRef, useState,
} from "react";

import { type Access, loadAccess, storeAccess } from "./access.ts";
import { useWords } from "./language.tsx";

interface AccessState {
  access: Access;
  setAccess: (access: Access) => void;
  openForm: () => void;
}

const AccessContext = createContext<AccessState | undefined>(undefined);

/** The project and token in use, and the dialog that changes them. */
export function useAccess(): AccessState {
  const state = useContext(AccessContext);
  if (!state) throw new Error("useAccess needs an AccessProvider around it");
  return state;
}

export function AccessProvider({ children }: { children: ReactNode }) {
  const [access, setAccess] = useState(loadAccess);
  const [isOpen, setIsOpen] = useState(false);
  const state = useMemo(() => {
    const change = (changed: Access) => {
      storeAccess(changed);
      setAccess(changed);
    };
    return { access, setAccess: change, openForm: () => setIsOpen(true) };
  }, [access]);
  return (
    <AccessContext value={state}>
      {children}
      {isOpen && <AccessDialog close={() => setIsOpen(false)} />}
    </AccessContext>
  );
}

function AccessDialog({ close }: { close: () => void }) {
  const { texts } = useWords();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="access-title">
      <h2 id="access-title">{texts.access.title}</h2>
      <AccessForm done={() => dialog.current?.close()}>
        <button type="button" className="plain" onClick={() => dialog.current?.close()}>
          {texts.access.cancel}
        </button>
      </AccessForm>
    </dialog>
  );
}

/** Asks for a project and a token. */
export function AccessForm({ done, children }: { done?: () => void; children?: ReactNode }) {
  const { texts } = useWords();
  const { access, setAccess } = useAccess();
  const hints = useId();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    setAccess({ projectId: text("project"), token: text("token") });
    done?.();
  };
  return (
    <form className="access" onSubmit={submit} aria-label={texts.access.title}>
      <label>
        {texts.access.project}
        <input
          name="project" defaultValue={access.projectId} required maxLength={64} pattern="[A-Za-z0-9_\-]+"
          spellCheck={false} autoComplete="off" aria-describedby={`${hints}-project`}
        />
      </label>
      <p className="quiet small" id={`${hints}-project`}>{texts.access.projectHint}</p>
      <label>
        {texts.access.token}
        <input
          name="token" type="password" defaultValue={access.token} autoComplete="off"
          aria-describedby={`${hints}-token`}
        />
      </label>
      <p className="quiet small" id={`${hints}-token`}>{texts.access.tokenHint}</p>
      <div className="row">
        <button type="submit" className="primary">{texts.access.use}</button>
        {children}
      </div>
    </form>
  );
}
