/** How a message comes and goes: once, without a trace, and focus goes back to where it was. */
import type { Page, Stop } from "../types";
import { type Focus, focusOf } from "./focus";

const GOING = 140;

/** The life of one message. */
export interface Life {
  /** Takes it away at once; a second call does nothing. */
  stop: Stop;
  /** It goes with a short movement. */
  go: Stop;
  /** Calls `fn` after so long, if it is there still. */
  later: (fn: () => void, milliseconds: number) => void;
  /** Ends with it. */
  ends: (...stops: Stop[]) => void;
  /** Makes a change without losing focus; see `Focus`. */
  keep: Focus["keep"];
}

/** The life of what is in `root`. */
export function living(window: Page["window"], root: ShadowRoot): Life {
  const focus = focusOf(root);
  const ending: Stop[] = [];
  let going = false;
  const end = (): void => {
    focus.giveBack();
    for (const one of ending.splice(0)) one();
  };
  const later = (fn: () => void, milliseconds: number): void => {
    const timer = window.setTimeout(fn, milliseconds);
    ending.push(() => window.clearTimeout(timer));
  };
  return {
    later,
    keep: focus.keep,
    ends: (...stops) => void ending.push(...stops),
    stop: () => {
      if (going) return;
      end();
      root.host.remove();
    },
    go: () => {
      const card = root.querySelector<HTMLElement>(".card");
      if (going || !card) return;
      going = true;
      end();
      card.inert = true;
      root.querySelector(".ring")?.remove();
      const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
      if (!calm) card.animate({ opacity: [1, 0] }, { duration: GOING, fill: "forwards" });
      window.setTimeout(() => root.host.remove(), calm ? 0 : GOING);
    },
  };
}
