import { Window } from "happy-dom";
import { afterEach, expect, it } from "vitest";
import { address, isPrivate } from "../src/core/redact";
import { settle } from "../src/core/options";
import { clicks, forms } from "../src/detect";
import { errors, template } from "../src/signals/errors";
import { watch } from "../src/signals/interactions";
import { starts } from "../src/signals/late";
import { searches } from "../src/signals/searches";
import { tell } from "../src/signals/tell";
import type { Options, Page, Settled, Signal, Stop } from "../src/types";

const stops: Stop[] = [];
afterEach(() => stops.splice(0).forEach((stop) => stop()));

interface Site {
  page: Page;
  window: Window;
  found: Signal[];
  emit: (signal: Signal) => void;
}

/** A page at `url` with this body. */
function site(body: string, url = "https://shop.example/help?q=1"): Site {
  const window = new Window({ url });
  window.document.body.innerHTML = body;
  Object.assign(globalThis, { Element: window.Element });
  const found: Signal[] = [];
  const page = {
    window, document: window.document,
    now: () => 0,
    guard: (fn: unknown) => fn,
    address: (to: string) => address(to, url, []),
    isPrivate,
  } as unknown as Page;
  return { page, window, found, emit: (signal) => found.push(signal) };
}
/** The kinds of what detectors are told of a page from now on. */
function hearing(page: Page): string[] {
  const heard: string[] = [];
  stops.push(watch(page, () => undefined, { initial: 0, step: (state: number, { kind }: { kind: string }) => (heard.push(kind), [state, []] as const) }));
  return heard;
}
const settled = (options: Partial<Options> = {}): Settled => settle({ key: "k", host: "https://f.example", ...options }, "") as Settled;

it("tells an error by its kind, never by a value", () => {
  expect(template(new TypeError("Cannot read properties of undefined (reading 'anna')"))).toBe("TypeError: Cannot read properties of undefined (reading *");
  expect(template(new TypeError("Failed at https://x.example/?card=4111"))).toBe("TypeError: Failed at *");
  expect(template(new ReferenceError("row17 is not defined"))).toBe("ReferenceError: row* is not defined");
  expect(template(new SyntaxError("Cannot convert secret to a BigInt"))).toBe("SyntaxError");
  expect(template(new Error("anna@example.com is taken"))).toBe("Error");
  expect(template(Object.assign(new Error("x"), { name: "anna @ home" }))).toBe("Error");
  expect(template("secret")).toBe("string");
  expect(template({ secret: 1 })).toBe("object");
  expect(template(null)).toBe("object");
});

it("tells the same error a few times only, and different ones up to a limit", () => {
  const { page, window, found, emit } = site("");
  stops.push(errors(page, emit, settled()));
  const fail = (line: number): void => {
    const event = Object.assign(new window.Event("error"), { error: new TypeError("x is not a function"), filename: "https://shop.example/a.js?v=1", lineno: line, colno: 2, message: "x" });
    window.dispatchEvent(event);
  };
  for (let i = 0; i < 30; i += 1) fail(1);
  expect(found).toHaveLength(5);
  expect(found[0]?.data).toMatchObject({ kind: "error", file: "https://shop.example/a.js", line: 1, page: "https://shop.example/help" });
  for (let i = 2; i < 90; i += 1) fail(i);
  expect(found).toHaveLength(5 + 19);
  window.dispatchEvent(Object.assign(new window.Event("error"), { error: null, filename: "", message: "Script error." }));
  expect(found).toHaveLength(24);
  stops.pop()?.();
  fail(1);
  expect(found).toHaveLength(24);
});

const SEARCH = '<form id="faq" role="search"><input type="search" name="q" value="how to cancel"></form>';

it.each([[false, { length: 13 }], [true, { length: 13, words: "how to cancel" }]])("tells of a search for help; words allowed: %s", (words, data) => {
  const { page, window, found, emit } = site(SEARCH);
  stops.push(searches(page, emit, settled({ words })));
  const submit = (): unknown => window.document.querySelector("form")?.dispatchEvent(new window.Event("submit", { bubbles: true, composed: true }));
  submit();
  submit();
  expect(found).toEqual([{ type: "client.search", data }]);
});

it.each([
  ["a search in a shop", SEARCH.replace("faq", "find"), "https://shop.example/shoes"],
  ["a private field", `<div data-private>${SEARCH}</div>`, "https://shop.example/help"],
  ["an empty field", SEARCH.replace("how to cancel", " "), "https://shop.example/help"],
])("does not tell of %s", (_, body, url) => {
  const { page, window, found, emit } = site(body, url);
  stops.push(searches(page, emit, settled()));
  window.document.querySelector("form")?.dispatchEvent(new window.Event("submit", { bubbles: true, composed: true }));
  expect(found).toEqual([]);
});

it("listens once for all detectors, hears nothing of private places, and nothing after the last has stopped", () => {
  const { page, window } = site('<button id="go">Go</button><div data-private><button id="mine">Anna</button></div><input type="password">');
  const heard: string[] = [];
  const ear = { initial: 0, step: (state: number, next: { kind: string }) => (heard.push(next.kind === "click" ? JSON.stringify(next) : next.kind), [state, []] as const) };
  const stop = watch(page, () => undefined, ear);
  const others = [watch(page, () => undefined, clicks), watch(page, () => undefined, forms)];
  const click = (selector: string): void => {
    window.document.querySelector(selector)?.dispatchEvent(new window.MouseEvent("click", { bubbles: true, composed: true }));
  };
  click("#go");
  click("#mine");
  click("[type=password]");
  const seen = heard.filter((one) => one.startsWith("{"));
  expect(seen).toHaveLength(1);
  expect(seen[0]).toContain("button#go");
  expect(heard.join()).not.toContain("Anna");
  others.forEach((one) => one());
  stop();
  stop();
  const before = heard.length;
  click("#go");
  expect(heard).toHaveLength(before);
  expect(page.watching?.size).toBe(0);
});

it.each([
  ["<input>", 1],
  ["<textarea></textarea>", 1],
  ['<input type="password">', 0],
  ['<input type="hidden">', 0],
  ['<input autocomplete="one-time-code">', 0],
  ['<input autocomplete="section-pay cc-number">', 0],
  ['<input autocomplete="new-password">', 0],
  ["<div data-private><input></div>", 0],
])("hears of what a script writes into %s: %i", (field, times) => {
  const { page, window } = site(`<button id="go">Go</button>${field}`);
  const heard = hearing(page);
  const click = (): unknown => window.document.querySelector("#go")?.dispatchEvent(new window.MouseEvent("click", { bubbles: true, composed: true }));
  click();
  const before = heard.filter((kind) => kind === "change").length;
  (window.document.querySelector("input,textarea") as unknown as HTMLInputElement).value = "4111";
  click();
  expect(heard.filter((kind) => kind === "change").length - before).toBe(times);
});

it.each([
  [["script"], 0],
  [["style"], 1],
  [["script", "style"], 1],
])("hears of %j that comes into the head %i times: a script alone shows nothing", async (tags, times) => {
  const { page, window } = site("");
  const heard = hearing(page);
  window.document.head.append(...tags.map((tag) => window.document.createElement(tag)));
  await window.happyDOM.waitUntilComplete();
  expect(heard.filter((kind) => kind === "change")).toHaveLength(times);
});

it("hears of a script that takes the place of what was shown", async () => {
  const { page, window } = site("<main>Loading</main>");
  const heard = hearing(page);
  window.document.querySelector("main")?.replaceChildren(window.document.createElement("script"));
  await window.happyDOM.waitUntilComplete();
  expect(heard).toContain("change");
});

const CIRCLE = ["/a", "/b", "/c", "/d"];
type Ids = { visitor?: string; subject?: string };

it.each<[string, Ids, Ids, number]>([
  ["the same visitor", { visitor: "v" }, { visitor: "v" }, 1],
  ["the same user", { subject: "anna" }, { subject: "anna" }, 1],
  ["a visitor who signs in", { visitor: "v" }, { visitor: "v", subject: "anna" }, 1],
  ["the next visitor", { visitor: "v" }, { visitor: "w" }, 0],
  ["the next visitor, after a user", { subject: "anna" }, { visitor: "w" }, 0],
  ["another user", { subject: "anna" }, { subject: "ben" }, 0],
  ["a device without ids", {}, {}, 1],
])("a circle begun is gone on with by %s: %#", (_, before, after, circles) => {
  for (const reload of [false, true]) {
    const { page, window, found, emit } = site("");
    const begin = (): Stop => starts.wandering(page, emit, settled());
    const is = (ids: Ids): void => {
      window.localStorage.clear();
      for (const [name, id] of Object.entries(ids)) window.localStorage.setItem(`forestall.https://f.example.${name}`, JSON.stringify(id));
    };
    const visit = (path: string): void => tell(page, { kind: "navigation", path });
    is(before);
    let stop = begin();
    for (const path of [...CIRCLE, ...CIRCLE]) visit(path);
    expect(found).toEqual([]);
    expect(window.sessionStorage.getItem("forestall.visits")).not.toMatch(/anna|"v"/);
    if (reload) {
      const kept = window.sessionStorage.getItem("forestall.visits");
      stop();
      window.sessionStorage.setItem("forestall.visits", kept ?? "");
    }
    is(after);
    if (reload) stop = begin();
    tell(page, { kind: "tick" });
    if (!circles) expect(window.sessionStorage.getItem("forestall.visits")).not.toContain("/a");
    for (const path of CIRCLE) visit(path);
    expect(found.map(({ type }) => type)).toEqual(Array(circles).fill("client.wandering"));
    found.splice(0);
    stop();
    expect(window.sessionStorage.getItem("forestall.visits")).toBeNull();
  }
});
