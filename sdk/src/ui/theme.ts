/** Whether a page is dark now. */
import type { Page } from "../types";

/** What the page says (`data-theme`, else `color-scheme`), else what the person prefers. */
export function isDark(window: Page["window"]): boolean {
  const { documentElement, body } = window.document;
  const said = [documentElement, body].map((one) => one?.getAttribute("data-theme")).find((one) => one === "dark" || one === "light");
  if (said) return said === "dark";
  const scheme = window.getComputedStyle(documentElement).colorScheme ?? "";
  const [dark, light] = [/\bdark\b/.test(scheme), /\blight\b/.test(scheme)];
  return dark !== light ? dark : window.matchMedia("(prefers-color-scheme: dark)").matches;
}
