/** The interface's own words, and which language and direction a message has. */
import type { Look, Message } from "../help/types";

const en = {
  close: "Close",
  why: "Why am I seeing this?",
  reason: "Something about your visit suggested that this might help you.",
  reasonError: "Something on the page did not work as it should.",
  reasonWait: "Something on the page took longer than it should.",
  reasonForm: "It looked as if a form gave you trouble.",
  reasonClick: "It looked as if something on the page did not react to you.",
  reasonSearch: "It looked as if you were looking for something.",
  reasonAsked: "You asked for help.",
  menu: "More options",
  never: "Not this again",
  stop: "Stop these",
  stopTitle: "Stop all messages like this?",
  stopBody: "None will come any more: in no tab, and on none of your devices.",
  stopYes: "Stop them",
  stopNo: "Keep them",
  helped: "It helped",
  thanks: "Thank you",
  thanksBody: "That is good to know.",
  show: "Show me where",
  progress: "{done} of {all} done",
  done: "All done",
  known: "What we already know",
  words: "Anything to add? (optional)",
  ask: "Ask for a person",
  asked: "Passed on",
  askedBody: "A person takes it from here and knows all this. You need not explain it again.",
};

/** The words by name. */
export type Texts = typeof en;

const de: Texts = {
  close: "Schließen",
  why: "Warum sehe ich das?",
  reason: "Etwas an Ihrem Besuch ließ vermuten, dass Ihnen das helfen könnte.",
  reasonError: "Auf der Seite hat etwas nicht so funktioniert, wie es sollte.",
  reasonWait: "Auf der Seite hat etwas länger gedauert, als es sollte.",
  reasonForm: "Es sah so aus, als hätte Ihnen ein Formular Mühe gemacht.",
  reasonClick: "Es sah so aus, als hätte etwas auf der Seite nicht auf Sie reagiert.",
  reasonSearch: "Es sah so aus, als hätten Sie etwas gesucht.",
  reasonAsked: "Sie haben um Hilfe gebeten.",
  menu: "Weitere Möglichkeiten",
  never: "Das nicht mehr zeigen",
  stop: "Keine Hinweise mehr",
  stopTitle: "Keine solchen Hinweise mehr?",
  stopBody: "Es kommen dann keine mehr: in keinem Tab und auf keinem Ihrer Geräte.",
  stopYes: "Keine mehr zeigen",
  stopNo: "Weiter zeigen",
  helped: "Hat geholfen",
  thanks: "Danke",
  thanksBody: "Gut zu wissen.",
  show: "Zeigen, wo",
  progress: "{done} von {all} erledigt",
  done: "Alles erledigt",
  known: "Was wir schon wissen",
  words: "Möchten Sie etwas ergänzen? (freiwillig)",
  ask: "Persönliche Hilfe anfordern",
  asked: "Weitergegeben",
  askedBody: "Ein Mensch kümmert sich darum und weiß das alles. Sie müssen nichts noch einmal erklären.",
};

const SHIPPED: Record<string, Texts> = { en, de };
const RTL = /^(ar|arc|ckb|dv|fa|he|iw|ks|nqo|ps|sd|syr|ug|ur|yi)(?!.*-Latn)\b|-(Arab|Hebr|Nkoo|Syrc|Thaa)\b/i;

/** How a message is worded and written. */
export interface Wording {
  texts: Texts;
  /** The language of `texts`. */
  language: string;
  /** The language of the message itself, as far as it is known. */
  said: string;
  direction: "ltr" | "rtl";
}

/** The words for `message` on a page in the language `page` that is written in `direction`. */
export function wording(message: Message, look: Look, page: string, direction: string): Wording {
  const [wanted, said, here] = [look.locale, message.locale, page].map(canonical);
  const shipped = [wanted, said, here].find((tag) => tag && short(tag) in SHIPPED) ?? "en";
  const own = Object.entries(look.texts ?? {}).filter(([name, value]) => name in en && typeof value === "string");
  const written = said || wanted;
  return {
    texts: { ...(SHIPPED[short(shipped)] as Texts), ...Object.fromEntries(own) },
    language: (own.length && wanted) || short(shipped),
    said: said || here || "",
    direction: (written ? RTL.test(written) : direction === "rtl") ? "rtl" : "ltr",
  };
}

const short = (tag: string): string => tag.split("-", 1)[0] as string;

/** `tag` as BCP 47 writes it; "" if it is none. */
function canonical(tag: string | undefined): string {
  try {
    return Intl.getCanonicalLocales(tag)[0] ?? "";
  } catch {
    return "";
  }
}
