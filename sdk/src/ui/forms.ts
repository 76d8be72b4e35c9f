/** What stands between a message's words and its foot: answers, steps, or what people already know. */
import type { Message, Told } from "../help/types";
import type { Make } from "./dom";
import type { Texts } from "./words";

/** What the forms are made with. */
export interface Means {
  make: Make;
  texts: Texts;
  /** The language of the message. */
  said: string;
  told: Told;
  /** Says thank you, with `body`, and goes. */
  thank: (body: string) => void;
  /** Says something in place of the message, and stays. */
  say: (title: string, body: string) => void;
}

/** Characters that somebody may write to a person. */
const WORDS = 2000;

/** A question's answers as buttons. */
export function choices({ make, said, told, thank }: Means, labels: Record<string, string>): HTMLElement {
  const row = make("div", { class: "row", role: "group", "aria-labelledby": "t", "aria-describedby": "b", lang: said });
  for (const [value, label] of Object.entries(labels)) {
    const choose = (): void => {
      told.acted("choice", value);
      thank(label);
    };
    row.append(make("button", { type: "button", click: choose }, label));
  }
  return row;
}

/** Steps to tick off, and how far one is. A step is told when it is ticked, by its number from 1. */
export function checklist({ make, texts, said, told }: Means, steps: readonly string[]): HTMLElement[] {
  const fill = make("div", { class: "fill" });
  const count = make("span", { role: "status" });
  const ticked = new Set<string>();
  const progress = (): void => {
    const all = steps.length;
    fill.style.width = `${(100 * ticked.size) / all}%`;
    count.textContent =
      ticked.size === all ? texts.done : texts.progress.replace("{done}", String(ticked.size)).replace("{all}", String(all));
  };
  const list = make("ol", { class: "steps", role: "list", lang: said });
  steps.forEach((step, index) => {
    const number = String(index + 1);
    const box = make("input", {
      type: "checkbox",
      change: () => {
        told.tick(number, box.checked);
        if (!box.checked) ticked.delete(number);
        else {
          ticked.add(number);
          told.acted("step", number);
        }
        progress();
      },
    });
    if ((box.checked = told.ticked(number))) ticked.add(number);
    list.append(make("li", {}, make("label", {}, box, make("span", {}, step))));
  });
  progress();
  return [make("div", { class: "bar" }, make("div", { class: "track" }, fill), count), list];
}

/** What people already know, room for a few words, and the way to a person. */
export function handover({ make, texts, said, told, say }: Means, known: readonly string[]): HTMLElement[] {
  const words = make("textarea", { id: "q", maxlength: String(WORDS), rows: "3" });
  const ask = (): void => {
    told.asked(words.value.trim());
    say(texts.asked, texts.askedBody);
  };
  const facts = known.map((fact) => make("li", {}, fact));
  return [
    ...(facts.length
      ? [make("div", { class: "known" }, make("p", { class: "label", id: "k" }, texts.known), make("ul", { role: "list", "aria-labelledby": "k", lang: said }, ...facts))]
      : []),
    make("div", {}, make("label", { class: "label", for: "q" }, texts.words), words),
    make("div", { class: "row" }, make("button", { type: "button", class: "full", click: ask }, texts.ask)),
  ];
}

/** The form that a message takes: what it needs may be missing. */
export function formOf({ show, choices: answers, steps }: Message): NonNullable<Message["show"]>["as"] {
  const form = show?.as ?? (answers ? "question" : "toast");
  if (form === "question" && !answers) return "toast";
  if (form === "checklist" && !steps?.length) return "toast";
  return form;
}
