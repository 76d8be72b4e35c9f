/** Whether a message was seen: half of it in sight, in a tab that is in sight, for a second. */
import type { Page, Stop } from "../types";
import type { Safe } from "./life";

const LONG = 1000;

/** Calls `tell` once, when `element` was seen. */
export function seen(window: Page["window"], element: Element, safe: Safe, tell: () => void): Stop {
  const { document } = window;
  let near = false;
  let timer: number | undefined;
  const look = safe(() => {
    if (!near || document.visibilityState !== "visible") {
      window.clearTimeout(timer);
      timer = undefined;
    } else {
      timer ??= window.setTimeout(safe(() => {
        stop();
        tell();
      }), LONG);
    }
  });
  const observer = new window.IntersectionObserver(
    safe((entries) => {
      near = (entries.at(-1)?.intersectionRatio ?? 0) >= 0.5;
      look();
    }),
    { threshold: 0.5 },
  );
  const stop = (): void => {
    window.clearTimeout(timer);
    observer.disconnect();
    document.removeEventListener("visibilitychange", look);
  };
  observer.observe(element);
  document.addEventListener("visibilitychange", look);
  return stop;
}
