/** What every message has: its words, a way to close it, why it is there, and what else one may do with it. */
import type { Form, Message } from "../help/types";
import { icon, ICONS, type Make } from "./dom";
import type { Safe } from "./life";
import type { Wording } from "./words";

/** What a frame is made of, and what it calls when somebody uses it. */
export interface FrameMeans {
  document: Document;
  make: Make;
  wording: Wording;
  form: Form;
  message: Message;
  /** Somebody asked why it is there. */
  why: () => void;
  /** It helped; `undefined`: that makes no sense here. */
  helped: (() => void) | undefined;
  never: () => void;
  stop: () => void;
  close: () => void;
  /** Escape, where no menu was open. */
  escape: () => void;
  safe: Safe;
}

/** Which words a frame has now: the message's, or the interface's own. Only the message has a foot. */
export type State = "message" | "asks" | "done";

/** A message's parts that change. */
export interface Frame {
  card: HTMLElement;
  close: HTMLElement;
  /** Scrolls to a hint's element; hidden at first. */
  show: HTMLElement;
  main: HTMLElement;
  /** Sets what it says: the message itself, a question about it, or that something is `done`. */
  fill: (words: readonly (Node | string)[], content: readonly Node[], state: State) => void;
  /** Lets the keyboard scroll what is too long. */
  measure: () => void;
  /** Hears of what is pressed anywhere: the menu closes. */
  pressed: (event: Event) => void;
}

const ICON: Record<Form, keyof typeof ICONS> = {
  toast: "hint", banner: "hint", hint: "hint", question: "question", checklist: "checklist", handover: "person",
};

/** The interface's own words for what was noticed. */
const REASONS: Record<string, keyof Wording["texts"]> = {
  error: "reasonError", wait: "reasonWait", form: "reasonForm", click: "reasonClick", search: "reasonSearch", asked: "reasonAsked",
};

/** Makes the frame; its words come with `fill`. */
export function framing(means: FrameMeans): Frame {
  const { document, make, wording, form, message } = means;
  const { texts } = wording;
  const image = (name: keyof typeof ICONS): SVGElement => icon(document, name);
  const status = make("div", { class: "words", role: "status" });
  const main = make("div", { class: "main" });
  const reason = make("p", { class: "why", id: "w", lang: message.why ? wording.said : wording.language, hidden: true },
    message.why || texts[REASONS[message.noticed ?? ""] ?? "reason"]);
  const chip = make("span", { class: "icon" });
  const scroll = make("div", { class: "scroll" },
    make("div", { class: "head" }, chip, status), main, reason);
  const close = make("button", { type: "button", class: "close", "aria-label": texts.close, click: means.close }, image("close"));
  const show = make("button", { type: "button", class: "good", hidden: true }, texts.show);
  const { foot, closeMenu, closeAll, pressed } = footing(means, image, show, reason);
  const card = make("section", {
    class: `card ${form === "banner" ? "banner" : "toast"}`, role: "region", "aria-labelledby": "t",
    lang: wording.language, dir: wording.direction,
  }, close, scroll, foot);
  for (const name of ["keydown", "keyup", "keypress"] as const) {
    card.addEventListener(name, means.safe((event) => {
      event.stopPropagation();
      if (name !== "keydown" || event.key !== "Escape" || event.isComposing) return;
      event.preventDefault();
      if (!closeMenu()) means.escape();
    }));
  }
  return {
    card, close, show, main, pressed,
    fill: (words, content, state) => {
      chip.replaceChildren(image(state === "done" ? "check" : ICON[form]));
      status.replaceChildren(...words);
      main.replaceChildren(...content);
      foot.hidden = state !== "message";
      if (foot.hidden) closeAll();
    },
    measure: () => {
      const long = scroll.scrollHeight > scroll.clientHeight + 1;
      scroll.classList.toggle("long", long);
      if (long) scroll.tabIndex = 0;
      else scroll.removeAttribute("tabindex");
    },
  };
}

/** The foot: it helped, why, and the menu. */
interface Foot extends Pick<Frame, "pressed"> {
  foot: HTMLElement;
  /** Closes the menu; whether it was open. */
  closeMenu: () => boolean;
  /** Closes whatever is open. */
  closeAll: () => void;
}

function footing(
  { make, wording: { texts }, why, helped, never, stop, safe }: FrameMeans, image: (name: keyof typeof ICONS) => SVGElement,
  show: HTMLElement, reason: HTMLElement,
): Foot {
  const menu = make("div", { class: "menu", id: "m", hidden: true },
    make("button", { type: "button", click: never }, texts.never),
    make("button", { type: "button", click: stop }, texts.stop));
  const more = disclosing(make, menu, { class: "more", "aria-label": texts.menu }, image("more"));
  const asks = disclosing(make, reason, { class: "quiet" }, texts.why);
  asks.button.addEventListener("click", safe(() => {
    if (reason.hidden) return;
    why();
    reason.parentElement?.scrollTo(0, reason.offsetTop);
  }));
  const acts = make("div", { class: "acts" }, show);
  if (helped) acts.append(make("button", { type: "button", class: "good", click: helped }, image("check"), texts.helped));
  acts.append(asks.button);
  const foot = make("div", { class: "foot" }, acts, more.button, menu);
  const isMenu = (one: EventTarget): boolean => one === menu || one === more.button;
  foot.addEventListener("focusout", safe(({ relatedTarget: to }: FocusEvent) => {
    if (to && to !== more.button && !menu.contains(to as Node)) more.set(false);
  }));
  return {
    foot,
    closeMenu: () => {
      if (menu.hidden) return false;
      more.set(false);
      more.button.focus();
      return true;
    },
    closeAll: () => {
      more.set(false);
      asks.set(false);
    },
    pressed: safe((event: Event) => {
      if (!event.composedPath().some(isMenu)) more.set(false);
    }),
  };
}

/** A button that shows and hides `part`, and a way to do that without it. */
function disclosing(
  make: Make, part: HTMLElement, about: Record<string, string>, content: Node | string,
): { button: HTMLElement; set: (open: boolean) => void } {
  const set = (open: boolean): void => {
    part.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  };
  const button = make("button", {
    type: "button", "aria-expanded": "false", "aria-controls": part.id, ...about,
    click: () => set(part.hidden !== false),
  }, content);
  return { button, set };
}
