/** A hint beside an element of the page: goes where it goes, and into the corner while it cannot be beside it. */
import type { Page, Stop } from "../types";
import type { Safe } from "./life";
import { around, type Box, type Side, place, within } from "./place";

/** What a hint moves and tells. */
export interface HintParts {
  /** The message itself. */
  card: HTMLElement;
  /** What surrounds the element. */
  ring: HTMLElement;
  /** Scrolls to the element when it is out of sight. */
  show: HTMLElement;
  /** Called with each element it comes to belong to, `null`: with none. */
  belongs: (element: Element | null) => void;
  safe: Safe;
}

/** A hint that is there. */
export interface Hint {
  /** Looks where the element is now. */
  update: () => void;
  /** Scrolls to the element. */
  reveal: () => void;
  stop: Stop;
}

const AROUND = 4;

/** Ties a message to what is shown of the selector `at`. */
export function hint(window: Page["window"], at: string, { card, ring, show, belongs, safe }: HintParts): Hint {
  const { document } = window;
  let element: Element | null = null;
  let side: Side | undefined;
  let frame = 0;

  const update = (): void => {
    window.cancelAnimationFrame(frame);
    frame = 0;
    const found = element && isShown(element) ? element : find(document, at);
    if (found !== element) belongs((element = found));
    const box = element && visible(window, element);
    const { clientWidth: width, clientHeight: height } = document.documentElement;
    card.classList.remove("up", "toast");
    card.classList.add("hint");
    const size = { width: card.offsetWidth, height: card.offsetHeight };
    const to = box && element && place(box, size, { width, height }, card.dir === "rtl", side, withLabels(window, element, box));
    side = to?.side;
    card.style.left = to ? `${to.left}px` : "";
    card.style.top = to ? `${to.top}px` : "";
    card.style.setProperty("--arrow", `${to?.arrow ?? 0}px`);
    card.dataset.side = side ?? "";
    if (!to) {
      card.classList.replace("hint", "toast");
      card.classList.toggle("up", !!box && within(box, card.getBoundingClientRect()) !== null);
    }
    show.hidden = !element || !!box;
    ring.hidden = !box;
    if (box && element) surround(window, ring, element, box);
  };
  const soon = safe(() => {
    frame ||= window.requestAnimationFrame(safe(update));
  });
  window.addEventListener("scroll", soon, { capture: true, passive: true });
  window.addEventListener("resize", soon);
  return {
    update,
    reveal: () => {
      const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
      element?.scrollIntoView({ block: "center", inline: "nearest", behavior: calm ? "auto" : "smooth" });
    },
    stop: () => {
      window.cancelAnimationFrame(frame);
      window.removeEventListener("scroll", soon, { capture: true });
      window.removeEventListener("resize", soon);
      belongs(null);
    },
  };
}

/** The first element of the selector that is shown; `null` too where the selector is none. */
function find(document: Document, at: string): Element | null {
  try {
    return [...document.querySelectorAll(at)].find(isShown) ?? null;
  } catch {
    return null;
  }
}

function isShown(element: Element): boolean {
  const { width, height } = element.getBoundingClientRect();
  const how = { opacityProperty: true, visibilityProperty: true, checkOpacity: true, checkVisibilityCSS: true };
  return element.isConnected && width > 0 && height > 0 && (element.checkVisibility?.(how) ?? true);
}

/** The part of `element` that is in sight: of the window, and of all that it scrolls in. */
function visible(window: Page["window"], element: Element): Box | null {
  const { documentElement: root, body } = window.document;
  let box = within(element.getBoundingClientRect(), { left: 0, top: 0, width: root.clientWidth, height: root.clientHeight });
  for (let above = element.parentElement; box && above && above !== body && above !== root; above = above.parentElement) {
    if (!/^(visible)?$/.test(window.getComputedStyle(above).overflow)) box = within(box, above.getBoundingClientRect());
  }
  return box;
}

/** `box` and the labels of its field, as far as they are in sight: what a hint leaves free. */
function withLabels(window: Page["window"], element: Element, box: Box): Box {
  const labels = [...((element as HTMLInputElement).labels ?? [])];
  return labels.reduce((all, label) => around(all, visible(window, label) ?? all), box);
}

function surround(window: Page["window"], ring: HTMLElement, element: Element, box: Box): void {
  const round = parseFloat(window.getComputedStyle(element).borderTopLeftRadius) || 0;
  const { style } = ring;
  style.left = `${box.left - AROUND}px`;
  style.top = `${box.top - AROUND}px`;
  style.width = `${box.width + 2 * AROUND}px`;
  style.height = `${box.height + 2 * AROUND}px`;
  style.borderRadius = `${round + AROUND}px`;
}
