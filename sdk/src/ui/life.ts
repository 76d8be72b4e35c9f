/** How a message comes and goes: once, without a trace, and focus goes back to where it was. */
import type { Page, Stop } from "../types";
import { type Focus, focusOf } from "./focus";

const GOING = 140;

/** Wraps what a page, a timer or a person calls: nothing that goes wrong in there reaches the page. */
export type Safe = <Given extends unknown[]>(fn: (...given: Given) => void) => (...given: Given) => void;

const attempt = (fn: Stop): void => {
  try {
    fn();
  } catch {}
};

/** The life of one message. */
export interface Life {
  /** Ends the message where `fn` throws. */
  safe: Safe;
  /** Takes it away at once; a second call does nothing. */
  stop: Stop;
  /** It goes with a short movement. */
  go: Stop;
  /** Calls `fn` after so long, if it is there still. */
  later: (fn: () => void, milliseconds: number) => void;
  /** Ends with it; at once where it is over. */
  ends: (...stops: Stop[]) => void;
  /** Makes a change without losing focus; see `Focus`. */
  keep: Focus["keep"];
}

/** The life of what is in `root`; `broken` hears when something in it threw. */
export function living(window: Page["window"], root: ShadowRoot, broken: Stop): Life {
  const safe: Safe = (fn) => (...given) => {
    try {
      fn(...given);
    } catch {
      end();
      root.host.remove();
      attempt(broken);
    }
  };
  const focus = focusOf(root, safe);
  const ending: Stop[] = [];
  let over = false;
  let going = false;
  /** What comes when it is over ends at once. */
  const ends = (...stops: Stop[]): void => {
    ending.push(...stops);
    if (over) end();
  };
  const end = (): void => {
    over = true;
    for (const one of [focus.giveBack, ...ending.splice(0)]) attempt(one);
  };
  const later = (fn: () => void, milliseconds: number): void => {
    const timer = window.setTimeout(safe(fn), milliseconds);
    ends(() => window.clearTimeout(timer));
  };
  return {
    safe,
    later,
    keep: focus.keep,
    ends,
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
