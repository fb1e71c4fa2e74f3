import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { AccessProvider } from "./AccessForm.tsx";
import { Console } from "./Console.tsx";
import { LanguageProvider } from "./language.tsx";
import "./style.css";

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <LanguageProvider>
        <AccessProvider>
          <Console />
        </AccessProvider>
      </LanguageProvider>
    </StrictMode>,
  );
}
