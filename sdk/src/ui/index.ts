/** Shows one message: the bundle that is loaded when there is something to show. */
import { UI, type View } from "../help/types";
import type { Stop } from "../types";
import { making } from "./dom";
import { checklist, choices, formOf, handover, type Means } from "./forms";
import { type Frame, framing, type State } from "./frame";
import { hint } from "./hint";
import { describing, hosting, settleIn, tree } from "./layer";
import { type Life, living } from "./life";
import { pieces } from "./links";
import { seen } from "./seen";
import { isDark } from "./theme";
import { wording } from "./words";

/** Screen readers announce what comes into a region that was there before. */
const READY = 80;
/** Milliseconds between looks at what no event tells: a dialog, another theme, a moved element. */
const LOOK = 250;
const THANKS = 2400;

type Given = Parameters<View>;

let last: Stop | undefined;

/**
 * The `View`. Another message that is still there goes. It goes by itself when somebody closes it, after an
 * answer and after thanks; what the person did is told first.
 */
export const view: View = (window, message, told, look) => {
  last?.();
  const root = tree(window, hosting(window.document));
  const life = living(window, root);
  const card = speaking([window, message, told, look], life);
  root.append(card.frame.card);
  const watch = [() => settleIn(window, root.host as HTMLElement), () => themed(window, root), card.frame.measure];
  if (formOf(message) === "hint") watch.push(pointing([window, message, told, look], root, card.frame, life));
  const looking = (): void => watch.forEach((one) => one());
  looking();
  card.frame.card.addEventListener("click", looking);
  life.ends(() => card.frame.card.removeEventListener("click", looking));
  life.ends(() => void watch.splice(0));
  life.later(() => {
    card.main();
    looking();
    card.frame.card.classList.add("on");
    const timer = window.setInterval(looking, LOOK);
    life.ends(() => window.clearInterval(timer), seen(window, card.frame.card, told.seen));
  }, READY);
  return (last = life.stop);
};

/** What a message says, and what happens when somebody does something with it. */
function speaking([window, message, told, look]: Given, life: Life): { frame: Frame; main: () => void } {
  const { document, location } = window;
  const { direction } = window.getComputedStyle(document.body ?? document.documentElement);
  const words = wording(message, look, document.documentElement.lang, direction);
  const { texts, said } = words;
  const make = making(document);
  const form = formOf(message);
  let over = false;
  let back: (() => void) | undefined;

  const put = (title: string, body: readonly (Node | string)[], content: readonly Node[], lang: string, state: State): void => {
    const text = body.length ? [make("p", { class: "body", id: "b", lang }, ...body)] : [];
    life.keep(
      () => frame.fill([make("p", { class: "title", id: "t", lang }, title), ...text], content, state),
      () => frame.main.querySelector<HTMLElement>("button,input,textarea") ?? frame.close,
    );
  };
  const link = ({ text, href }: { text: string; href?: string }): Node | string =>
    href ? make("a", { href, click: () => told.acted("link", new URL(href).pathname) }, text) : text;
  const main = (): void => {
    back = undefined;
    put(message.title, pieces(message.body, location.origin).map(link), content, said, "message");
  };
  const say = (title: string, body: string): void => {
    over = true;
    put(title, [body], [], words.language, "done");
  };
  const thank = (body: string): void => {
    say(texts.thanks, body);
    life.later(life.go, THANKS);
  };
  const close = (never?: boolean): void => {
    if (!over) told.dismissed(never);
    life.go();
  };
  const stop = (): void => {
    const yes = (): void => {
      told.stop();
      life.stop();
    };
    back = main;
    put(texts.stopTitle, [texts.stopBody], [
      make("div", { class: "row" },
        make("button", { type: "button", class: "full", click: yes }, texts.stopYes),
        make("button", { type: "button", click: main }, texts.stopNo)),
    ], words.language, "asks");
  };
  const means: Means = { make, texts, said, told, thank, say };
  const content = [
    ...(form === "checklist" ? checklist(means, message.steps ?? []) : []),
    ...(form === "handover" ? handover(means, message.known ?? []) : []),
    ...(message.choices ? [choices(means, message.choices)] : []),
  ];
  const helped = (): void => {
    told.helped();
    thank(texts.thanksBody);
  };
  const frame = framing({
    document, make, form, message, wording: words, stop,
    why: () => told.acted("why"),
    helped: message.choices || form === "handover" ? undefined : helped,
    never: () => close(true),
    close: () => close(),
    escape: () => (back ? back() : close()),
  });
  return { frame, main };
}

/** Lets a hint point at its element; the answer looks where that is. */
function pointing([window, message]: Given, root: ShadowRoot, { card, show }: Frame, life: Life): () => void {
  const make = making(window.document);
  const ring = make("div", { class: "ring", hidden: true });
  root.prepend(make("slot"), ring);
  const belongs = describing(root.host, `${message.title}. ${message.body}`);
  const { update, reveal, stop } = hint(window, message.show?.at ?? "", { card, ring, show, belongs });
  show.addEventListener("click", reveal);
  life.ends(stop);
  return update;
}

function themed(window: Given[0], root: ShadowRoot): void {
  const dark = isDark(window);
  for (const part of root.querySelectorAll(".card,.ring")) part.classList.toggle("dark", dark);
}

(globalThis as unknown as Record<symbol, View>)[UI] = view;
