/** What a message says, and what happens when somebody does something with it. */
import type { View } from "../help/types";
import { making } from "./dom";
import { checklist, choices, formOf, handover, type Means } from "./forms";
import { type Frame, framing, type State } from "./frame";
import type { Life } from "./life";
import { type Piece, pieces } from "./links";
import { wording } from "./words";

/** How long thanks are shown. */
const THANKS = 2400;
/** How long nothing takes the place of what is to be read, and how often is looked whether somebody is at it. */
const READ = 20_000;
const LOOK = 1000;

/** What a `View` is given. */
export type Given = Parameters<View>;

/** A message in its frame; `main` says it. */
export interface Speech {
  frame: Frame;
  main: () => void;
}

/** Puts the words, the form and what one may do with it together. */
export function speaking(given: Given, life: Life): Speech {
  const [{ document, location }, message, told] = given;
  const make = making(document, life.safe);
  const words = wordsOf(given);
  const { texts, said } = words;
  const form = formOf(message);
  /** Nothing more is told: it was answered, or it helped. */
  let over = false;
  /** Where Escape leads back to. */
  let back: (() => void) | undefined;

  const put = (title: string, body: readonly (Node | string)[], content: readonly Node[], state: State): void => {
    const lang = state === "message" ? said : words.language;
    const text = body.length ? [make("p", { class: "body", id: "b", lang }, ...body)] : [];
    life.keep(
      () => frame.fill([make("p", { class: "title", id: "t", lang }, title), ...text], content, state),
      () => frame.main.querySelector<HTMLElement>("button,input,textarea") ?? frame.close,
    );
  };
  const link = ({ text, href }: Piece): Node | string =>
    href ? make("a", { href, click: () => told.acted("link", new URL(href).pathname) }, text) : text;
  const main = (): void => {
    back = undefined;
    put(message.title, pieces(message.body, location.origin).map(link), content, "message");
  };
  const say = (title: string, body: string): void => {
    over = true;
    put(title, [body], [], "done");
  };
  /** Says what stays until it is closed; another message may replace it once nobody is at it any more. */
  const stay = (title: string, body: string): void => {
    say(title, body);
    const yieldTo = (): void => {
      const { activeElement } = frame.card.getRootNode() as ShadowRoot;
      if (activeElement || frame.card.matches(":hover")) life.later(yieldTo, LOOK);
      else told.over();
    };
    life.later(yieldTo, READ);
  };
  const thank = (body: string): void => {
    say(texts.thanks, body);
    life.later(life.go, THANKS);
  };
  const close = (never?: boolean): void => {
    if (!over) told.dismissed(never);
    over = true;
    life.go();
  };
  const confirm = (): void => {
    back = main;
    const stop = (): void => {
      told.stop();
      life.stop();
    };
    const yes = make("button", { type: "button", class: "full", click: stop }, texts.stopYes);
    const no = make("button", { type: "button", click: main }, texts.stopNo);
    put(texts.stopTitle, [texts.stopBody], [make("div", { class: "row" }, yes, no)], "asks");
  };
  const helped = (): void => {
    told.helped();
    thank(texts.thanksBody);
  };
  const content = contentOf(given, { make, texts, said, told, thank, say: stay });
  const frame = framing({
    document, make, form, message, wording: words, safe: life.safe,
    why: () => told.acted("why"),
    helped: message.choices || form === "handover" ? undefined : helped,
    never: () => close(true),
    stop: confirm,
    close: () => close(),
    escape: () => (back ? back() : close()),
  });
  return { frame, main };
}

function wordsOf([window, message, , look]: Given): ReturnType<typeof wording> {
  const { body, documentElement } = window.document;
  return wording(message, look, documentElement.lang, window.getComputedStyle(body ?? documentElement).direction);
}

/** What stands below the words; made once, so that what was ticked or written stays. */
function contentOf([, message]: Given, means: Means): Node[] {
  const form = formOf(message);
  return [
    ...(form === "checklist" ? checklist(means, message.steps ?? []) : []),
    ...(form === "handover" ? handover(means, message.known ?? []) : []),
    ...(message.choices ? [choices(means, message.choices)] : []),
  ];
}
