/** Searches for help: that somebody searched, and how long the words were; the words only if allowed. */
import type { Start } from "../types";
import { source } from "./elements";

const FIELD = "[type=search],[role=searchbox],[name=q],[name=query],[name=search]";
const HELP = /help|support|faq|hilfe|docs|contact|kontakt|knowledge/i;
const REPEAT = 2000;

/** Tells of searches on pages or in forms that are for help. */
export const searches: Start = (page, emit, settled) => {
  const { document, window, guard } = page;
  let last = -REPEAT;
  const note = (field: HTMLInputElement | null | undefined): void => {
    if (!field || page.isPrivate(field) || page.now() - last < REPEAT) return;
    const { form } = field;
    const said = [window.location.hostname, window.location.pathname, form?.id, form?.getAttribute("action"), form?.getAttribute("aria-label")];
    const own = [field.id, field.placeholder, field.getAttribute("aria-label")];
    const words = field.value.trim();
    if (!words || !HELP.test([...said, ...own].join(" "))) return;
    last = page.now();
    emit({ type: "client.search", data: { length: words.length, ...(settled.words === true && { words: words.slice(0, 200) }) } });
  };
  const pressed = guard((event: KeyboardEvent) => {
    const field = source(event);
    if (event.key === "Enter" && field?.matches(FIELD)) note(field as HTMLInputElement);
  });
  const submitted = guard((event: SubmitEvent) => note(source(event)?.querySelector<HTMLInputElement>(FIELD)));
  document.addEventListener("keydown", pressed, true);
  document.addEventListener("submit", submitted, true);
  return () => {
    document.removeEventListener("keydown", pressed, true);
    document.removeEventListener("submit", submitted, true);
  };
};
