/** Focus is never taken from a page; what was given to a message goes back to where it was. */

import type { Safe } from "./life";

/** Focus in one message. */
export interface Focus {
  /** Gives it back, if it is in the message. */
  giveBack: () => void;
  /** Makes a change; if focus was on something that is no longer there, `next` gets it. */
  keep: (change: () => void, next: () => HTMLElement) => void;
}

/** Remembers where focus was before it came into `root`. */
export function focusOf(root: ShadowRoot, safe: Safe): Focus {
  let before: EventTarget | null = null;
  root.addEventListener("focusin", safe((event) => {
    const from = (event as FocusEvent).relatedTarget;
    if (from && !root.contains(from as Node)) before = from;
  }));
  return {
    giveBack: () => {
      if (root.activeElement && (before as Element | null)?.isConnected) (before as HTMLElement).focus({ preventScroll: true });
    },
    keep: (change, next) => {
      const inside = root.activeElement !== null;
      change();
      if (inside && (!root.activeElement || root.activeElement.closest("[hidden]"))) next().focus();
    },
  };
}
