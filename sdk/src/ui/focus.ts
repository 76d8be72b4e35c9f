/** Focus is never taken from a page; what was given to a message goes back to where it was. */

/** Remembers where focus was before it came into `root`. */
export function focusOf(root: ShadowRoot): { inside: () => boolean; giveBack: () => void } {
  let before: EventTarget | null = null;
  root.addEventListener("focusin", (event) => {
    const from = (event as FocusEvent).relatedTarget;
    if (from && !root.contains(from as Node)) before = from;
  });
  const inside = (): boolean => root.activeElement !== null;
  return {
    inside,
    giveBack: () => {
      if (inside() && (before as Element | null)?.isConnected) (before as HTMLElement).focus({ preventScroll: true });
    },
  };
}
