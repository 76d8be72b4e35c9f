import fc from "fast-check";
import { Window } from "happy-dom";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Look, Message, Told } from "../src/help/types";
import { UI } from "../src/help/types";
import type { Page, Stop } from "../src/types";
import { view } from "../src/ui/index";
import { pieces } from "../src/ui/links";
import { around, type Box, GAP, place, within } from "../src/ui/place";
import { isDark } from "../src/ui/theme";
import { wording } from "../src/ui/words";

const ORIGIN = "https://shop.example";
const MESSAGE: Message = { id: "m1", intervention: "i1", policy: "p", title: "Declined", body: "Nothing was charged.", why: "Two payments failed." };

/** What is in sight, as the browser would tell it. */
let observers: { see: (ratio: number) => void; gone: boolean }[] = [];
const stops: Stop[] = [];

beforeEach(() => {
  vi.useFakeTimers();
  observers = [];
});
afterEach(() => {
  stops.splice(0).forEach((stop) => stop());
  vi.useRealTimers();
});

interface Shown {
  window: Window;
  told: [keyof Told, ...unknown[]][];
  /** What only the page's own part has to know. */
  inside: [keyof Told, ...unknown[]][];
  stop: Stop;
  /** Texts of all buttons in tab order; those without text by their label. */
  buttons: () => string[];
  press: (name: string) => void;
  key: (key: string) => Event;
  text: (selector: string) => string | undefined;
  one: <T extends Element = HTMLElement>(selector: string) => T;
  host: () => Element | null;
}

/** A page at `ORIGIN` with its own clock. */
function page(body = "<input id=card>", attributes: Record<string, string> = {}): Window {
  const window = new Window({ url: `${ORIGIN}/cart` });
  window.document.body.innerHTML = body;
  for (const [name, value] of Object.entries(attributes)) window.document.documentElement.setAttribute(name, value);
  class Observer {
    constructor(tell: (entries: { intersectionRatio: number }[]) => void) {
      const one = { see: (ratio: number): void => tell([{ intersectionRatio: ratio }]), gone: false };
      observers.push(one);
      this.disconnect = () => (one.gone = true);
    }
    observe(): void {}
    disconnect: () => void;
  }
  const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
  Object.assign(window, { IntersectionObserver: Observer, setTimeout, clearTimeout, setInterval, clearInterval });
  return window;
}

function show(about: Partial<Message> = {}, look: Look = {}, window = page(), others: Record<string, unknown> = {}): Shown {
  const told: Shown["told"] = [];
  const inside: Shown["inside"] = [];
  const names: (keyof Told)[] = ["seen", "acted", "dismissed", "helped", "stop", "asked"];
  const tell = Object.fromEntries(names.map((name) => [name, (...what: unknown[]) => told.push([name, ...what.filter((one) => one !== undefined)])]));
  const kept = (name: keyof Told) => (...what: unknown[]): void => void inside.push([name, ...what]);
  Object.assign(tell, { ticked: () => false, tick: kept("tick"), over: kept("over"), broken: kept("broken") });
  const stop = view(window as unknown as Page["window"], { ...MESSAGE, ...about }, Object.setPrototypeOf(others, tell) as Told, look);
  stops.push(stop);
  vi.advanceTimersByTime(100);
  const host = (): Element | null => window.document.querySelector("forestall-help") as unknown as Element | null;
  const all = <T extends Element>(selector: string): T[] => [...(host()?.shadowRoot?.querySelectorAll<T>(selector) ?? [])].filter((one) => !one.closest("[hidden]"));
  const named = (button: Element): string => button.textContent || (button.getAttribute("aria-label") ?? "");
  return {
    window, told, inside, stop, host,
    one: (selector) => all(selector)[0] as never,
    text: (selector) => all(selector)[0]?.textContent ?? undefined,
    buttons: () => all("button").map(named),
    press: (name) => {
      const found = all<HTMLElement>("button").find((one) => named(one) === name);
      if (!found) throw new Error(`no button ${name} among ${all("button").map(named).join()}`);
      found.click();
      vi.advanceTimersByTime(200);
    },
    key: (key) => {
      const event = new window.KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }) as unknown as Event;
      all(".card")[0]?.dispatchEvent(event);
      vi.advanceTimersByTime(200);
      return event;
    },
  };
}

const broken = (): never => {
  throw new Error("broken");
};
const BREAKS: Record<string, (one: Shown, told: Record<string, unknown>) => void> = {
  "a look": ({ window }) => Object.assign(window, { getComputedStyle: broken }),
  "what is told of a look": (_, told) => {
    told.seen = broken;
    observers[0]?.see(1);
  },
  "an observer": ({ window }) => {
    Object.assign(window, { clearTimeout: broken });
    observers[0]?.see(0);
  },
  "what is told of a press": ({ press }, told) => {
    told.acted = broken;
    press("Why am I seeing this?");
  },
  "what is told of an end": ({ press }, told) => {
    told.helped = broken;
    press("It helped");
  },
  "a key": ({ key }, told) => {
    told.dismissed = broken;
    key("Escape");
  },
  "a press anywhere": ({ window }) => {
    window.dispatchEvent(Object.assign(new window.Event("pointerdown"), { composedPath: () => Object.assign([window], { some: broken }) }));
  },
  "a frame": ({ window, one }) => {
    one(".card").getBoundingClientRect = broken;
    Object.defineProperty(window.document.documentElement, "clientWidth", { get: broken });
    window.dispatchEvent(new window.Event("resize"));
  },
  "going": ({ window, press }) => {
    Object.assign(window, { matchMedia: broken });
    press("Close");
  },
};

it.each(Object.keys(BREAKS))("where %s breaks, it goes, and the page hears nothing of that", (name) => {
  const window = page("<input id=card>");
  Object.assign(window, { requestAnimationFrame: (fn: () => void) => setTimeout(fn, 16), cancelAnimationFrame: clearTimeout });
  const heard: unknown[] = [];
  window.addEventListener("error", (event) => heard.push(event));
  const before = window.document.documentElement.outerHTML;
  const told: Record<string, unknown> = {};
  const shown = show({ show: { as: "hint", at: "#card" } }, {}, window, told);
  expect(shown.host()).not.toBeNull();
  BREAKS[name]?.(shown, told);
  vi.advanceTimersByTime(3000);
  expect(shown.host()).toBeNull();
  expect(window.document.documentElement.outerHTML).toBe(before);
  expect(heard).toEqual([]);
  expect(shown.inside).toContainEqual(["over"]);
  if (name !== "going") expect(shown.inside).toContainEqual(["broken"]);
  shown.stop();
  if (name !== "an observer") expect(vi.getTimerCount()).toBe(0);
});

it("leaves nothing where it breaks from the start", () => {
  const window = page();
  const before = window.document.documentElement.outerHTML;
  Object.assign(window, { matchMedia: broken });
  const { host, inside } = show({}, {}, window);
  expect([host(), inside]).toEqual([null, [["over"], ["broken"]]]);
  expect(window.document.documentElement.outerHTML).toBe(before);
  expect(vi.getTimerCount()).toBe(0);
});

it("is found under its symbol", () => {
  expect((globalThis as unknown as Record<symbol, unknown>)[UI]).toBe(view);
});

it("says title and body, and leaves the page as it was when it is taken away", () => {
  const window = page("<input id=card>");
  const before = window.document.documentElement.outerHTML;
  const { text, host, stop, buttons } = show({}, {}, window);
  expect([text(".title"), text(".body")]).toEqual(["Declined", "Nothing was charged."]);
  expect(buttons()).toEqual(["Close", "It helped", "Why am I seeing this?", "More options"]);
  stop();
  stop();
  expect(host()).toBeNull();
  expect(window.document.documentElement.outerHTML).toBe(before);
  expect(vi.getTimerCount()).toBe(0);
});

it("never reads a message as HTML", () => {
  const evil = "<img src=x onerror=alert(1)>";
  const { one, text, press } = show({ title: evil, body: evil, why: evil, choices: { a: evil } });
  press("Why am I seeing this?");
  for (const part of [".title", ".body", ".why", ".row button"]) expect(text(part)).toBe(evil);
  expect(one("img")).toBeUndefined();
});

it("is announced politely, after the region was there", () => {
  const window = page();
  const stop = view(window as unknown as Page["window"], MESSAGE, {} as Told, {});
  stops.push(stop);
  const root = window.document.querySelector("forestall-help")?.shadowRoot;
  const status = root?.querySelector("[role=status]");
  expect(status?.textContent).toBe("");
  vi.advanceTimersByTime(100);
  expect(status?.textContent).toBe("DeclinedNothing was charged.");
  expect(root?.querySelector("[role=alert],[aria-live=assertive],[autofocus]")).toBeNull();
});

it("was seen after a second in sight, in a tab that is in sight", () => {
  const { told, window } = show();
  const [observer] = observers;
  const seen = (): number => told.filter(([name]) => name === "seen").length;
  let state = "visible";
  Object.defineProperty(window.document, "visibilityState", { get: () => state });
  observer?.see(0.4);
  vi.advanceTimersByTime(5000);
  observer?.see(1);
  vi.advanceTimersByTime(900);
  observer?.see(0);
  vi.advanceTimersByTime(5000);
  observer?.see(1);
  vi.advanceTimersByTime(900);
  state = "hidden";
  window.document.dispatchEvent(new window.Event("visibilitychange"));
  vi.advanceTimersByTime(5000);
  expect(seen()).toBe(0);
  state = "visible";
  window.document.dispatchEvent(new window.Event("visibilitychange"));
  vi.advanceTimersByTime(1000);
  expect(seen()).toBe(1);
  expect(observer?.gone).toBe(true);
});

it("tells what the person did: why, helped, closed, not again, stop", () => {
  const why = show();
  why.press("Why am I seeing this?");
  expect(why.text(".why")).toBe("Two payments failed.");
  why.press("Why am I seeing this?");
  expect(why.text(".why")).toBeUndefined();
  expect(why.told).toEqual([["acted", "why"]]);

  const helped = show();
  helped.press("It helped");
  expect(helped.text(".title")).toBe("Thank you");
  helped.press("Close");
  expect(helped.told).toEqual([["helped"]]);
  expect(helped.host()).toBeNull();

  const closed = show();
  closed.press("Close");
  closed.stop();
  expect(closed.told).toEqual([["dismissed"]]);

  const never = show();
  never.press("More options");
  never.press("Not this again");
  expect(never.told).toEqual([["dismissed", true]]);
  expect(never.host()).toBeNull();

  const stop = show();
  stop.press("More options");
  stop.press("Stop these");
  expect(stop.buttons()).toEqual(["Close", "Stop them", "Keep them"]);
  stop.press("Keep them");
  expect([stop.text(".title"), stop.told]).toEqual(["Declined", []]);
  stop.press("More options");
  stop.press("Stop these");
  stop.press("Stop them");
  expect(stop.told).toEqual([["stop"]]);
  expect(stop.host()).toBeNull();
});

it("says why in the message's words, else in its own", () => {
  const why = (about: Partial<Message>, look: Look = {}): string[] => {
    const { press, text, one, buttons } = show({ why: "", ...about }, look);
    press(buttons().find((name) => /why|warum/i.test(name)) ?? "");
    return [text(".why") ?? "", one(".why").lang];
  };
  expect(why({ why: "Your card was declined.", noticed: "error", locale: "fr" })).toEqual(["Your card was declined.", "fr"]);
  expect(why({ noticed: "error" })).toEqual(["Something on the page did not work as it should.", "en"]);
  expect(why({ noticed: "asked", locale: "de-CH" })).toEqual(["Sie haben um Hilfe gebeten.", "de"]);
  expect(why({})).toEqual(["Something about your visit suggested that this might help you.", "en"]);
  expect(why({ noticed: "of a later version" as never })[0]).toContain("Something about your visit");
  expect(why({ noticed: "wait" }, { texts: { reasonWait: "Slow." } })[0]).toBe("Slow.");
  const kinds = ["error", "wait", "form", "click", "search", "asked"] as const;
  for (const locale of ["en", "de"]) {
    const said = kinds.map((noticed) => why({ noticed }, { locale })[0]);
    expect(new Set([...said, why({}, { locale })[0]]).size).toBe(7);
  }
});

it("goes by itself after thanks", () => {
  const { press, host, inside } = show();
  press("It helped");
  vi.advanceTimersByTime(2000);
  expect([host() === null, inside]).toEqual([false, []]);
  vi.advanceTimersByTime(2000);
  expect([host(), inside]).toEqual([null, [["over"]]]);
});

it("leaves what it says after a hand-over, and yields once nobody is at it", () => {
  const { press, host, inside, text, one } = show({ show: { as: "handover" } });
  one("textarea").focus();
  press("Ask for a person");
  vi.advanceTimersByTime(60_000);
  expect([text(".title"), inside]).toEqual(["Passed on", []]);
  one(".close").blur();
  vi.advanceTimersByTime(2000);
  expect([text(".title"), inside]).toEqual(["Passed on", [["over"]]]);
  vi.advanceTimersByTime(600_000);
  expect([text(".title"), inside]).toEqual(["Passed on", [["over"]]]);
  press("Close");
  expect(host()).toBeNull();
});

it("closes with Escape: first the menu, then the question about it, then itself; and pages hear no keys", () => {
  const { window, key, press, told, one, text, buttons } = show();
  let heard = 0;
  window.document.addEventListener("keydown", () => (heard += 1));
  press("More options");
  expect(buttons()).toContain("Stop these");
  expect(key("Escape").defaultPrevented).toBe(true);
  expect(buttons()).not.toContain("Stop these");
  press("More options");
  press("Stop these");
  key("Escape");
  expect([text(".title"), told]).toEqual(["Declined", []]);
  expect(key("k").defaultPrevented).toBe(false);
  key("Escape");
  expect([told, one(".card"), heard]).toEqual([[["dismissed"]], undefined, 0]);
});

it("asks a question and takes one answer", () => {
  const { press, told, one, buttons, text } = show({ choices: { card: "Another card", later: "Pay later" } });
  expect(one("[role=group]").getAttribute("aria-labelledby")).toBe("t");
  expect(buttons()).toEqual(["Close", "Another card", "Pay later", "Why am I seeing this?", "More options"]);
  press("Pay later");
  expect(told).toEqual([["acted", "choice", "later"]]);
  expect([text(".title"), text(".body"), buttons()]).toEqual(["Thank you", "Pay later", ["Close"]]);
});

it("ticks steps off and says how far one is", () => {
  const { one, told, inside, text, press } = show({ show: { as: "checklist" }, steps: ["One", "Two"] });
  const box = (nth: number): HTMLInputElement => one(`li:nth-child(${nth}) input`);
  const tick = (nth: number): void => box(nth).click();
  expect(text(".bar")).toBe("0 of 2 done");
  tick(2);
  expect(text(".bar")).toBe("1 of 2 done");
  tick(2);
  tick(2);
  tick(1);
  expect(text(".bar")).toBe("All done");
  expect(told).toEqual([["acted", "step", "2"], ["acted", "step", "2"], ["acted", "step", "1"]]);
  expect(inside).toEqual([["tick", "2", true], ["tick", "2", false], ["tick", "2", true], ["tick", "1", true]]);
  press("More options");
  press("Stop these");
  press("Keep them");
  expect([box(1).checked, box(2).checked]).toEqual([true, true]);
});

it("knows what was ticked on the page before", () => {
  const { one, text, told } = show({ show: { as: "checklist" }, steps: ["One", "Two"] }, {}, page(), { ticked: (step: string) => step === "2" });
  expect([text(".bar"), one<HTMLInputElement>("li:nth-child(2) input").checked, told]).toEqual(["1 of 2 done", true, []]);
});

it("hands over: what is known, a few words, a person, and says so", () => {
  const { one, text, press, told, buttons } = show({ show: { as: "handover" }, known: ["Order 1", "<b>Two</b>"] });
  expect(text(".known")).toBe("What we already knowOrder 1<b>Two</b>");
  expect(buttons()).not.toContain("It helped");
  const words = one<HTMLTextAreaElement>("textarea");
  expect(words.getAttribute("maxlength")).toBe("2000");
  words.value = "  I pay by invoice. ";
  press("Ask for a person");
  expect(told).toEqual([["asked", "I pay by invoice."]]);
  expect(text(".title")).toBe("Passed on");
  press("Close");
  expect(told).toHaveLength(1);
  const none = show({ show: { as: "handover" } });
  expect(none.one(".known")).toBeUndefined();
  none.press("Ask for a person");
  expect(none.told).toEqual([["asked", ""]]);
});

it("is a toast where a form lacks what it needs", () => {
  const forms = ["checklist", "question", "hint"] as const;
  for (const as of forms) {
    const { one, text, buttons } = show({ show: { as, at: "#nothing" } });
    expect([one(".toast") !== undefined, text(".title"), buttons()[1]]).toEqual([true, "Declined", "It helped"]);
  }
  expect(show({ show: { as: "hint", at: "!!" } }).one(".toast")).toBeDefined();
  expect(show({ show: { as: "hint" } }).one(".toast")).toBeDefined();
});

it("shows one message at a time", () => {
  const window = page();
  show({ title: "First" }, {}, window);
  show({ title: "Second" }, {}, window);
  const hosts = [...window.document.querySelectorAll("forestall-help")];
  expect(hosts.map((host) => host.shadowRoot?.querySelector(".title")?.textContent)).toEqual(["Second"]);
});

it("describes the element of a hint, and leaves its attributes as they were", () => {
  const window = page("<p id=other>Other</p><input id=card aria-describedby=other><input id=plain>");
  const [card, plain] = [window.document.querySelector("#card"), window.document.querySelector("#plain")];
  for (const one of [card, plain]) one!.getBoundingClientRect = () => ({ left: 10, top: 10, width: 50, height: 20 }) as never;
  const hint = show({ show: { as: "hint", at: "#card" } }, {}, window);
  expect(card?.getAttribute("aria-describedby")).toBe("other forestall-hint");
  expect(window.document.querySelector("#forestall-hint")?.textContent).toBe("Declined. Nothing was charged.");
  hint.stop();
  expect(card?.getAttribute("aria-describedby")).toBe("other");
  const second = show({ show: { as: "hint", at: "#plain" } }, {}, window);
  expect(plain?.getAttribute("aria-describedby")).toBe("forestall-hint");
  second.press("Close");
  expect(plain?.hasAttribute("aria-describedby")).toBe(false);
});

it("makes links only of the page's own addresses", () => {
  const text = `See ${ORIGIN}/help?a=1. Or (${ORIGIN}/a), http://shop.example/b, https://evil.example/c, https://u:p@shop.example/d`;
  const found = pieces(text, ORIGIN);
  expect(found.map((one) => one.text).join("")).toBe(text);
  expect(found.flatMap((one) => one.href ?? [])).toEqual([`${ORIGIN}/help?a=1`, `${ORIGIN}/a`]);
  fc.assert(fc.property(fc.string(), fc.string(), (before, after) => {
    const given = `${before} ${ORIGIN}/x ${after}`;
    expect(pieces(given, ORIGIN).map((one) => one.text).join("")).toBe(given);
  }));
  const { one, told } = show({ body: `Read ${ORIGIN}/help?token=1 first` });
  one("a").addEventListener("click", (event) => event.preventDefault());
  one("a").click();
  expect([one("a").getAttribute("href"), told]).toEqual([`${ORIGIN}/help?token=1`, [["acted", "link", "/help"]]]);
});

it("takes its words from the page's wish, the message's language, the page's language", () => {
  const words = (locale: string | undefined, look: Look, here: string): string => wording({ ...MESSAGE, ...(locale && { locale }) }, look, here, "ltr").texts.close;
  expect(words(undefined, {}, "")).toBe("Close");
  expect(words(undefined, {}, "de-AT")).toBe("Schließen");
  expect(words("de-CH", {}, "en")).toBe("Schließen");
  expect(words("de", { locale: "en-GB" }, "de")).toBe("Close");
  expect(words("fr", {}, "de")).toBe("Schließen");
  expect(words("no such tag!", {}, "x")).toBe("Close");
  expect(words("fr", { locale: "fr", texts: { close: "Fermer", constructor: "no" } }, "en")).toBe("Fermer");
  expect(wording({ ...MESSAGE, locale: "fr" }, { locale: "fr", texts: { close: "Fermer" } }, "en", "ltr")).toMatchObject({ language: "fr", said: "fr" });
  expect(wording(MESSAGE, {}, "fr", "ltr")).toMatchObject({ language: "en", said: "fr" });
});

it("has the same words in every shipped language, and none is empty", () => {
  const [en, de] = ["en", "de"].map((locale) => wording(MESSAGE, { locale }, "", "ltr").texts);
  expect(Object.keys(de!)).toEqual(Object.keys(en!));
  for (const [name, value] of Object.entries(de!)) expect([name, value.length > 1, value === en![name as keyof typeof en]]).toEqual([name, true, false]);
});

it("is written as the message's language is, else as the page", () => {
  const direction = (locale: string | undefined, here: string): string => wording({ ...MESSAGE, ...(locale && { locale }) }, {}, "", here).direction;
  expect([direction("ar-EG", "ltr"), direction("he", "ltr"), direction("az-Arab", "ltr"), direction("ar-Latn", "rtl")]).toEqual(["rtl", "rtl", "rtl", "ltr"]);
  expect([direction("de", "rtl"), direction(undefined, "rtl"), direction(undefined, "ltr"), direction("arn", "ltr")]).toEqual(["ltr", "rtl", "ltr", "ltr"]);
});

it("is dark where the page says so, else where the person wants it", () => {
  const dark = (attributes: Record<string, string>, prefers: boolean, scheme = "normal"): boolean => {
    const window = page("", attributes);
    Object.assign(window, { matchMedia: () => ({ matches: prefers }), getComputedStyle: () => ({ colorScheme: scheme }) });
    return isDark(window as unknown as Page["window"]);
  };
  expect([dark({}, true), dark({}, false)]).toEqual([true, false]);
  expect([dark({ "data-theme": "dark" }, false), dark({ "data-theme": "light" }, true)]).toEqual([true, false]);
  expect([dark({ "data-theme": "blue" }, true), dark({}, false, "dark"), dark({}, true, "light"), dark({}, true, "light dark")]).toEqual([true, true, false, true]);
});

const numbers = (least: number, most: number): fc.Arbitrary<number> => fc.integer({ min: least, max: most });
const boxes = fc.record({ left: numbers(-300, 2000), top: numbers(-300, 1400), width: numbers(1, 900), height: numbers(1, 700) });
const sizes = (least: number, most: number): fc.Arbitrary<{ width: number; height: number }> => fc.record({ width: numbers(least, most), height: numbers(least, most) });

it("places a hint never on its element, always in sight, with its tip at the element", () => {
  fc.assert(fc.property(boxes, sizes(60, 500), sizes(300, 2000), fc.boolean(), (target, card, sight, rtl) => {
    const inSight = within(target, { left: 0, top: 0, ...sight });
    if (!inSight) return;
    const to = place(inSight, card, sight, rtl);
    if (!to) return;
    const at: Box = { left: to.left, top: to.top, ...card };
    expect(within(at, inSight)).toBeNull();
    expect([at.left >= 0, at.top >= 0, at.left + at.width <= sight.width, at.top + at.height <= sight.height]).toEqual([true, true, true, true]);
    const upright = to.side === "bottom" || to.side === "top";
    const apart = { bottom: at.top - (inSight.top + inSight.height), top: inSight.top - (at.top + at.height), left: inSight.left - (at.left + at.width), right: at.left - (inSight.left + inSight.width) };
    expect(apart[to.side]).toBe(GAP);
    expect(to.arrow).toBeGreaterThan(0);
    expect(to.arrow).toBeLessThan(upright ? card.width : card.height);
    expect(place(inSight, card, sight, rtl, to.side)).toEqual(to);
  }), { numRuns: 400 });
});

it("leaves the label free too, and points at the field", () => {
  fc.assert(fc.property(boxes, boxes, sizes(60, 300), (field, label, card) => {
    const free = around(field, label);
    expect([within(field, free), within(label, free)]).toEqual([field, label]);
    const to = place(field, card, { width: 1600, height: 1200 }, false, undefined, free);
    if (to) expect(within({ left: to.left, top: to.top, ...card }, free)).toBeNull();
  }));
  const field = { left: 100, top: 300, width: 200, height: 40 };
  const label = { left: 100, top: 270, width: 80, height: 30 };
  const card = { width: 300, height: 150 };
  const to = place(field, card, { width: 1000, height: 700 }, false, undefined, around(field, label));
  expect([to?.side, (to?.top ?? 0) + (to?.arrow ?? 0)]).toEqual(["right", 320]);
});

it("finds a place wherever one side has room, and none where no side has", () => {
  const target = { left: 400, top: 300, width: 200, height: 40 };
  const card = { width: 300, height: 150 };
  const sight = { width: 1000, height: 700 };
  expect(place(target, card, sight, false)?.side).toBe("right");
  expect(place(target, card, sight, true)?.side).toBe("left");
  expect(place(target, card, sight, false, "top")?.side).toBe("top");
  expect(place({ ...target, left: 700 }, card, sight, false)?.side).toBe("bottom");
  expect(place({ ...target, left: 700, top: 640 }, card, sight, false)?.side).toBe("top");
  expect(place({ left: 0, top: 0, ...sight }, card, sight, false)).toBeNull();
  expect(place({ ...target, left: 0 }, card, { width: 200, height: 700 }, false)).toBeNull();
});
