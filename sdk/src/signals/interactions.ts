/** What happens between a person and a page, as the detectors read it: one set of listeners for all of them. */
import type { Detector, Emit, Interaction, Page, Pointer, Stop } from "../types";
import { watcher } from "../detect/index";
import { called, formOf, isLive, source, target } from "./elements";
import { type Bare, tell } from "./tell";

type Feed = (next: Interaction) => void;

const BUSY = "[aria-busy=true],[role=progressbar]:not([aria-valuenow])";
const SEEN = ["class", "style", "hidden", "open", "disabled", "src", "value", "aria-busy", "aria-invalid", "aria-expanded", "aria-pressed", "aria-checked", "aria-selected", "data-state"];
/** Changes that are looked at in one turn of the page, and fields whose content is compared. */
const CHANGES = 5;
const FIELDS = 100;
const FIELD_TAGS = ["input", "textarea", "select"];
/** So long after a click fields are compared. */
const COMPARING = 8000;
/** So long after somebody did something, detectors are told the time. */
const TICKING = 65_000;
const TICK = 1000;

const stops = new WeakMap<Page, Stop>();

/** Lets a detector watch the page, from `state` on. */
export function watch<State>(
  page: Page, emit: Emit, detector: Detector<State>, state?: State, keep?: (state: State) => void,
): Stop {
  const step = watcher(detector, state, keep);
  const feed: Feed = (next) => step(next).forEach(emit);
  const watching = (page.watching ??= new Set());
  watching.add(feed);
  if (watching.size === 1) stops.set(page, listen(page));
  return () => {
    if (watching.delete(feed) && !watching.size) stops.get(page)?.();
  };
}

/** Listens until it is stopped. */
function listen(page: Page): Stop {
  const { window, document, guard } = page;
  const ends: Stop[] = [];
  const places = new WeakMap<Node, number>();
  const busy = new Map<Element, string>();
  const invisible = ["canvas", "video", "audio"].map((tag) => document.getElementsByTagName(tag));
  const inputs = FIELD_TAGS.map((tag) => document.getElementsByTagName(tag)) as HTMLCollectionOf<HTMLInputElement>[];
  let place = 0;
  let path = "";
  let href = "";
  let ticksUntil = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let fields = 0;
  let compareUntil = 0;

  const feed = (next: Bare): void => {
    tell(page, next);
    if (next.kind !== "change" && next.kind !== "tick") {
      ticksUntil = page.now() + TICKING;
      timer ??= setTimeout(tick, TICK);
    }
  };
  const tick = guard((): void => {
    timer = undefined;
    look();
    if (page.now() < compareUntil) compare();
    feed({ kind: "tick" });
    if (page.now() < ticksUntil && !document.hidden) timer = setTimeout(tick, TICK);
  });
  /** Other content of fields, as scripts set it. */
  const compare = (): void => {
    const now = content(page, inputs);
    if (now !== fields) feed({ kind: "change" });
    fields = now;
  };
  /** What no event tells: another address, something that is busy no longer. */
  const look = (): void => {
    if (window.location.href !== href) {
      href = window.location.href;
      const here = page.address(href);
      if (here !== path) feed({ kind: "navigation", path: (path = here) });
    }
    for (const [element, what] of busy) {
      if (element.isConnected && element.matches(BUSY)) continue;
      busy.delete(element);
      feed({ kind: "busy", what, on: false });
    }
  };
  const wait = (element: Element): void => {
    if (busy.has(element) || busy.size > 20 || page.isPrivate(element)) return;
    busy.set(element, called(element));
    feed({ kind: "busy", what: called(element), on: true });
  };
  const on = <E extends Event>(to: EventTarget, names: string, fn: (event: E, element: Element | null) => void): void => {
    const heard = guard((event: Event): void => {
      const element = source(event);
      if (!element || !page.isPrivate(element)) fn(event as E, element);
    });
    for (const name of names.split(" ")) {
      to.addEventListener(name, heard, { capture: true, passive: true });
      ends.push(() => to.removeEventListener(name, heard, { capture: true }));
    }
  };
  const click = (event: PointerEvent, element: Element): void => {
    look();
    compare();
    compareUntil = page.now() + COMPARING;
    const pointer = (event.isTrusted ? event.pointerType || "keyboard" : "script") as Pointer;
    const found = target(page, element);
    const form = called(formOf(element));
    const repeatable = found.repeatable || invisible.some((one) => one.length > 0);
    feed({ kind: "click", target: { ...found, repeatable }, x: event.clientX, y: event.clientY, pointer, ...(form && { form }) });
    const link = element.closest<HTMLAnchorElement>("a[href]:not([href^='#'],[href^='javascript:'])");
    if (link) setTimeout(guard(() => event.defaultPrevented || feed({ kind: "scroll" })));
  };
  const field = (kind: "focus" | "input" | "invalid", element: Element): void => {
    const form = formOf(element);
    feed({ kind, form: called(form), field: called(element), ...(kind === "input" && isLive(form) && { live: true }) });
  };

  on<PointerEvent>(document, "click", (event, element) => element && click(event, element));
  on<PointerEvent>(document, "pointerup", (event, element) => element?.closest(":disabled") && click(event, element));
  on(document, "focusin", (_, element) => element?.matches("input,textarea,select,[contenteditable]") && field("focus", element));
  on(document, "input change", (_, element) => element && field("input", element));
  on(document, "invalid", (_, element) => element && field("invalid", element));
  on(document, "submit", (_, element) => feed({ kind: "submit", form: called(element) }));
  on<KeyboardEvent>(document, "keydown", (event) => event.key === "Enter" && !event.repeat && feed({ kind: "enter" }));
  on(document, "scroll reset toggle", () => feed({ kind: "scroll" }));
  on(document, "copy cut", () => feed({ kind: "select" }));
  on(document, "selectionchange", () => window.getSelection()?.isCollapsed === false && feed({ kind: "select" }));
  on(document, "visibilitychange", () => document.hidden && feed({ kind: "away" }));
  on(window, "blur", (event) => event.target === window && feed({ kind: "scroll" }));
  on(window, "popstate hashchange", look);
  on(window, "pagehide", () => feed({ kind: "leave" }));

  const observer = new window.MutationObserver(guard((records: MutationRecord[]) => {
    look();
    const seen = new Set<Node>();
    for (const { target: node, attributeName, addedNodes, removedNodes } of records) {
      if (seen.size >= CHANGES) break;
      // A script that comes alone, such as our own, shows nothing.
      if (addedNodes.length === 1 && !removedNodes.length && addedNodes[0]?.nodeName === "SCRIPT") continue;
      seen.add(node);
      if (attributeName) {
        const element = node as Element;
        if (attributeName === "aria-busy" && element.matches(BUSY)) wait(element);
        if (attributeName === "aria-invalid" && element.matches("[aria-invalid=true]") && !page.isPrivate(element)) field("invalid", element);
      }
      for (const added of addedNodes) {
        if (!(added instanceof Element)) continue;
        const turning = added.matches(BUSY) ? added : added.querySelector(BUSY);
        if (turning) wait(turning);
      }
    }
    for (const node of seen) {
      if (!places.has(node)) places.set(node, (place += 1));
      feed({ kind: "change", where: places.get(node) as number });
    }
  }));
  observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: SEEN });
  ends.push(() => observer.disconnect(), () => clearTimeout(timer));

  queueMicrotask(guard(() => {
    look();
    document.querySelectorAll(BUSY).forEach(wait);
  }));
  return () => ends.forEach((end) => end());
}

/** A number that changes when fields do, for pages that set them by script; nothing can be read from it. */
function content({ isPrivate }: Page, inputs: readonly HTMLCollectionOf<HTMLInputElement>[]): number {
  let sum = 0;
  for (const all of inputs) {
    for (let at = 0; at < all.length && at < FIELDS; at += 1) {
      const one = all[at] as HTMLInputElement;
      if (one.type === "hidden" || isPrivate(one)) continue;
      if (one.checked) sum += at + 1;
      for (let letter = Math.min(one.value.length, 99); letter--; ) sum = (sum * 31 + one.value.charCodeAt(letter)) | 0;
    }
  }
  return sum;
}
