/** What is read of elements: their kind and the page's own words, never what somebody typed. */
import type { Page, Target } from "../types";
import { targetOf } from "../detect/target";

const USED =
  "button,a,input,select,textarea,label,summary,canvas,video,audio,iframe,[contenteditable],[role=button],[role=link]," +
  "[role=tab],[role=option],[role^=menuitem],[role=checkbox],[role=radio],[role=switch],[role=gridcell],[role=slider],[role=spinbutton]";
const EDITABLE = "textarea,[contenteditable]:not([contenteditable=false]),[role=textbox],[role=searchbox],[role=combobox]";
const CURRENT = "[aria-current]:not([aria-current=false]),[aria-selected=true],[aria-checked=true][role=radio]";
const GROUP = "form,[role=form],[role=search],dialog,[role=dialog]";
const LEVELS = 8;

/** The element that an event is about, also one in an open shadow tree. */
export function source(event: Event): Element | null {
  const [first] = event.composedPath();
  return first instanceof Element ? first : null;
}

/** The target of a click on `clicked`. */
export function target(page: Page, clicked: Element): Target {
  const element = clicked.closest(USED) ?? clicked;
  const attribute = (name: string): string | undefined => element.getAttribute(name) ?? undefined;
  const href = attribute("href");
  const within: string[] = [];
  let above = element.parentElement;
  for (let level = 0; above && level < LEVELS; level += 1, above = above.parentElement) {
    within.push(above.localName, above.getAttribute("role") ?? "", (above.getAttribute("aria-roledescription") ?? "").toLowerCase());
  }
  if (element.getRootNode() !== page.document || element.localName.includes("-")) within.push("application");
  const editable = element.matches(EDITABLE);
  return targetOf({
    tag: element.localName,
    role: attribute("role"),
    type: element.localName === "input" ? (element as HTMLInputElement).type : undefined,
    id: attribute("id"),
    test: attribute("data-testid") ?? attribute("data-test"),
    label: editable ? undefined : label(element),
    href,
    download: element.hasAttribute("download"),
    blank: /^_(?!self|top|parent)/.test(attribute("target") ?? ""),
    editable,
    current: element.matches(CURRENT) || (!!href && href !== "#" && (element as HTMLAnchorElement).href === page.window.location.href),
    pointer: !element.matches(USED) && page.window.getComputedStyle(element).cursor === "pointer",
    within,
  });
}

/** The page's own words on a control; none on what is large, or has something private in it. */
function label(element: Element): string | undefined {
  const own = element.getAttribute("aria-label") ?? element.getAttribute("alt") ?? element.getAttribute("title");
  if (own) return own;
  if (/^(submit|button|reset)$/.test((element as HTMLInputElement).type) && element.localName === "input") {
    return (element as HTMLInputElement).defaultValue;
  }
  const few = element.childElementCount < 9 && element.matches(USED);
  return few && !element.querySelector("[data-private],input,textarea,select,[contenteditable]") ? (element.textContent ?? "").slice(0, 99) : undefined;
}

/** The form that an element is in, or what is used as one. */
export const formOf = (element: Element): Element | null => (element as HTMLInputElement).form ?? element.closest(GROUP);

/** What a form or a field is called by the page. */
export function called(element: Element | null): string {
  if (!element) return "";
  const name = ["name", "id", "aria-label", "type"].map((one) => element.getAttribute(one)).find(Boolean);
  return (name ?? element.localName).replace(/\d{3,}|[0-9a-f]{8,}/gi, "*").slice(0, 60);
}

/** Whether a form has nothing to send it with, or is for searching: it works while it is filled in. */
export const isLive = (form: Element | null): boolean =>
  !form?.querySelector("button,[type=submit],[type=image]") || form.matches("[role=search]") || !!form.querySelector("[type=search]");
