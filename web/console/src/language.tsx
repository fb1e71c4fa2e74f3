import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from "react";

import { Format } from "./format.ts";
import { en, type Texts } from "./texts/en.ts";
import { zh } from "./texts/zh.ts";

export const LANGUAGES = { en: "English", zh: "中文" } as const;
export type Language = keyof typeof LANGUAGES;

const TEXTS: Record<Language, Texts> = { en, zh };
const KEY = "console.language";

interface Words {
  language: Language;
  texts: Texts;
  format: Format;
  choose: (language: Language) => void;
}

const WordsContext = createContext<Words | undefined>(undefined);

/** Texts and formats in the chosen language. */
export function useWords(): Words {
  const words = useContext(WordsContext);
  if (!words) throw new Error("useWords needs a LanguageProvider around it");
  return words;
}

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState(preferred);
  useEffect(() => {
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.title = TEXTS[language].title;
  }, [language]);
  const words = useMemo(() => {
    const choose = (chosen: Language) => {
      localStorage.setItem(KEY, chosen);
      setLanguage(chosen);
    };
    return { language, texts: TEXTS[language], format: new Format(localeOf(language)), choose };
  }, [language]);
  return <WordsContext value={words}>{children}</WordsContext>;
}

function preferred(): Language {
  const wanted = [localStorage.getItem(KEY) ?? "", ...navigator.languages];
  const known = wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => tag in LANGUAGES);
  return (known ?? "en") as Language;
}

/** The visitor's own variant of the language, such as `en-GB`. */
function localeOf(language: Language): string {
  const own = navigator.languages.find((tag) => tag.toLowerCase().startsWith(language));
  return own ?? (language === "zh" ? "zh-CN" : "en");
}
