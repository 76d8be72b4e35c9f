/** Making elements: never from text that is read as HTML, so that strict pages (CSP, Trusted Types) allow it. */
import type { Safe } from "./life";

type About = Record<string, string | boolean | undefined | ((event: Event) => void)>;

/** Makes an element: attributes (`true` is an empty one, `false` none), listeners, children; strings are text. */
export type Make = <Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag, about?: About, ...children: (Node | string)[]
) => HTMLElementTagNameMap[Tag];

const SVG = "http://www.w3.org/2000/svg";

/** Icons, as strokes within 24 by 24. */
export const ICONS = {
  close: "M6.5 6.5l11 11m0-11-11 11",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  check: "m5 12.5 4.5 4.5L19 7.5",
  hint: "M9.5 17.5h5m-4 3.5h3M12 3a6 6 0 0 0-3.6 10.8c.7.5 1.1 1.2 1.1 2v1.7h5v-1.7c0-.8.4-1.5 1.1-2A6 6 0 0 0 12 3z",
  question: "M8.4 8.4a3.6 3.6 0 1 1 5.5 3.1c-1.2.8-1.9 1.5-1.9 3.1m0 4h.01",
  checklist: "m4 7 1.5 1.5L8.5 5.5M4 17l1.5 1.5 3-3M12.5 7.5h7.5m-7.5 9.5h7.5",
  person: "M12 11.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c.7-3.9 3.6-6 7.5-6s6.8 2.1 7.5 6",
};

/** Makes elements of `document`; their listeners are wrapped. */
export const making = (document: Document, safe: Safe): Make => (tag, about = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(about)) {
    if (typeof value === "function") element.addEventListener(name, safe(value));
    else if (typeof value === "string") element.setAttribute(name, value);
    else if (value) element.setAttribute(name, "");
  }
  element.append(...children);
  return element;
};

/** An icon that says nothing to screen readers. */
export function icon(document: Document, name: keyof typeof ICONS): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}
