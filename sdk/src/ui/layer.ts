/** Where in a page the interface is: above everything, without touching anything of the page's own. */
import type { Page } from "../types";
import { STYLE } from "./style";

const DESCRIPTION = "forestall-hint";
const DESCRIBED = "aria-describedby";

/** The host element; its content is nobody's business. */
export function hosting(document: Document): HTMLElement {
  const host = document.createElement("forestall-help");
  host.setAttribute("data-private", "");
  return host;
}

/** The host's own tree, styled without anything that a content-security policy forbids. */
export function tree(window: Page["window"], host: HTMLElement): ShadowRoot {
  const root = host.attachShadow({ mode: "open" });
  const sheet = new window.CSSStyleSheet();
  sheet.replaceSync(STYLE);
  root.adoptedStyleSheets = [sheet];
  return root;
}

/** Puts `host` where it can be reached: into the modal dialog that is open, else at the page's end. */
export function settleIn(window: Page["window"], host: HTMLElement): void {
  const { document } = window;
  const parent = modal(document) ?? document.documentElement;
  if (host.parentNode === parent) return;
  parent.append(host);
  if (window.getComputedStyle(host).getPropertyValue("--forestall-z-index")) return;
  try {
    host.popover = "manual";
    host.showPopover();
  } catch {
    // A browser without popovers: the z-index has to do.
  }
}

function modal(document: Document): Element | undefined {
  try {
    return [...document.querySelectorAll("dialog:modal")].at(-1);
  } catch {
    return undefined;
  }
}

/**
 * Describes elements with `text`, for screen readers: called with an element, or `null`, it leaves the one before
 * as it was. The words are a child of the host, where a page's element can refer to them and no style shows them.
 */
export function describing(host: Element, text: string): (element: Element | null) => void {
  const span = host.ownerDocument.createElement("span");
  span.id = DESCRIPTION;
  span.append(text);
  host.append(span);
  let described: Element | null = null;
  const tie = (element: Element, tied: boolean): void => {
    const others = (element.getAttribute(DESCRIBED) ?? "").split(/\s+/).filter((id) => id && id !== DESCRIPTION);
    if (tied) others.push(DESCRIPTION);
    if (others.length) element.setAttribute(DESCRIBED, others.join(" "));
    else element.removeAttribute(DESCRIBED);
  };
  return (element) => {
    if (described) tie(described, false);
    described = element;
    if (element) tie(element, true);
  };
}
