/** What an element is to a detector, from plain facts: the same for a browser and for a trace. */
import type { Target } from "../types";

/** What can be read of an element; only `tag` must be there. */
export interface Facts {
  tag: string;
  role?: string | undefined;
  type?: string | undefined;
  id?: string | undefined;
  /** `data-testid`. */
  test?: string | undefined;
  /** The page's own words on it; never what somebody typed. */
  label?: string | undefined;
  href?: string | undefined;
  /** It saves a file, or opens elsewhere: its effect is not in this page. */
  download?: boolean | undefined;
  blank?: boolean | undefined;
  disabled?: boolean | undefined;
  /** Takes text. */
  editable?: boolean | undefined;
  /** The open tab, the link of this page, the chosen option. */
  current?: boolean | undefined;
  /** Shows a hand. */
  pointer?: boolean | undefined;
  /** Tags, roles and role descriptions of what it is in. */
  within?: readonly string[];
}

const PRESSED = /^(button|link|menuitem|switch|a|summary)$/;
const OPAQUE =
  /^(canvas|video|audio|iframe|object|embed|select|option|label|slider|spinbutton|scrollbar|tab|application|gridcell|checkbox|radio|file|range|number|color|date|time)$/;
const ROUND = /^(canvas|video|audio|carousel|application|grid|slider|spinbutton)$/;
const STEPS = /^[^\p{L}\d]{1,2}$|^[+-]\d/u;
const ELSEWHERE = /^(?!https?:|javascript:)[a-z][a-z+.-]*:/i;

/** The target that these facts describe. */
export function targetOf(facts: Facts): Target {
  const { tag, role = "", type = "", label = "", href, within = [] } = facts;
  const kind = role || (tag === "input" ? type : tag);
  const pressed = tag === "input" ? /^(submit|button|image|reset)$/.test(kind) : PRESSED.test(kind);
  return {
    name: nameOf(facts),
    interactive: (pressed || facts.pointer === true) && (tag !== "a" || role !== "" || href !== undefined),
    repeatable:
      facts.editable === true || facts.current === true || facts.download === true || facts.blank === true ||
      (tag === "input" && !pressed) || OPAQUE.test(kind) || STEPS.test(label.trim()) ||
      within.some((each) => ROUND.test(each)) || (href !== undefined && ELSEWHERE.test(href)),
  };
}

/** `button#pay "Pay now"`, without numbers that a page makes up. */
function nameOf({ tag, role, id, test, label }: Facts): string {
  const mark = (test ?? id ?? "").replace(/\d{3,}|[0-9a-f]{8,}/gi, "*").slice(0, 40);
  const words = (label ?? "").replace(/\s+/g, " ").trim().slice(0, 40).replace(/\d{4,}/g, "*");
  return tag + (role && role !== tag ? `[${role}]` : "") + (mark && `#${mark}`) + (words && ` "${words}"`);
}
