/** Shows one message: the bundle that is loaded when there is something to show. */
import { UI, type View } from "../help/types";
import type { Stop } from "../types";
import { making } from "./dom";
import { formOf } from "./forms";
import type { Frame } from "./frame";
import { hint } from "./hint";
import { describing, hosting, settleIn, tree } from "./layer";
import { type Life, living } from "./life";
import { seen } from "./seen";
import { type Given, speaking } from "./speak";
import { isDark } from "./theme";

/** Screen readers announce what comes into a region that was there before. */
const READY = 80;
/** Milliseconds between looks at what no event tells: a dialog, another theme, a moved element. */
const LOOK = 250;

let last: Stop | undefined;

/**
 * The `View`. Another message that is still there goes. It goes by itself when somebody closes it, after an
 * answer and after thanks; what the person did is told first. Where something in it throws, it goes; that is told,
 * and the page hears nothing of it.
 */
export const view: View = (...given) => {
  last?.();
  const [window, message, told] = given;
  const root = tree(window, hosting(window.document));
  const life = living(window, root, () => told.broken());
  life.ends(() => told.over());
  const { frame, main } = speaking(given, life);
  const { card } = frame;
  root.append(card);
  const looks = [() => settleIn(window, root.host as HTMLElement), () => dye(window, root), frame.measure];
  if (formOf(message) === "hint") looks.push(pointing(given, root, frame, life));
  const look = life.safe(() => looks.forEach((one) => one()));
  look();
  card.addEventListener("click", look);
  window.addEventListener("pointerdown", frame.pressed, true);
  life.ends(() => window.removeEventListener("pointerdown", frame.pressed, true), () => void looks.splice(0));
  life.later(() => {
    main();
    look();
    card.classList.add("on");
    const timer = window.setInterval(look, LOOK);
    life.ends(() => window.clearInterval(timer), seen(window, card, life.safe, () => told.seen()));
  }, READY);
  return (last = life.safe(life.stop));
};

/** Lets a hint point at its element; the answer looks where that is. */
function pointing([window, message]: Given, root: ShadowRoot, { card, show }: Frame, life: Life): () => void {
  const make = making(window.document, life.safe);
  const ring = make("div", { class: "ring", hidden: true });
  root.prepend(make("slot"), ring);
  const belongs = describing(root.host, `${message.title}. ${message.body}`);
  const { update, reveal, stop } = hint(window, message.show?.at ?? "", { card, ring, show, belongs, safe: life.safe });
  show.addEventListener("click", life.safe(reveal));
  life.ends(stop);
  return update;
}

/** Light or dark, as the page is now. */
function dye(window: Given[0], root: ShadowRoot): void {
  const dark = isDark(window);
  for (const part of root.querySelectorAll(".card,.ring")) part.classList.toggle("dark", dark);
}

(globalThis as unknown as Record<symbol, View>)[UI] = view;
