import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clicks, forms, waits, wandering, watcher } from "../src/detect";
import { targetOf } from "../src/detect/target";
import { findings, type Item, type Trace } from "../src/detect/trace";
import type { Detector, Interaction } from "../src/types";

declare global {
  interface ImportMeta {
    glob: (pattern: string, options: { eager: true; import: "default" }) => Record<string, Trace>;
  }
}

const traces = Object.entries(import.meta.glob("./traces/*.json", { eager: true, import: "default" })).map(
  ([file, trace]) => ({ name: file.replace(/^.*\/|\.json$/g, ""), ...trace }),
);
const detectors = { clicks, forms, waits, wandering } as Record<string, Detector<unknown>>;
/** Trouble that is not found, and why: see docs/explanation/signals.md. */
const MISSED = ["trouble-second-rage-ripple"];

describe("labelled traces", () => {
  it("are enough of both, and say so in their names", () => {
    const trouble = traces.filter(({ expect }) => expect.length);
    expect(trouble.length).toBeGreaterThanOrEqual(30);
    expect(traces.length - trouble.length).toBeGreaterThanOrEqual(60);
    for (const one of traces) expect(one.name.startsWith(one.expect.length ? "trouble-" : "none-")).toBe(true);
  });
  it.each(traces)("$name: $about", ({ name, items, expect: expected }) => {
    const found = new Set(findings(items).map(({ signal }) => signal.type));
    expect([...found].sort()).toEqual(MISSED.includes(name) ? [] : [...expected].sort());
  });
});

const target = fc.constantFrom({ tag: "button", label: "Pay" }, { tag: "p" }, { tag: "a", href: "#" }, { tag: "canvas" });
const word = fc.constantFrom("a", "b", "c", "d");
const item = fc.oneof(
  fc.record({ kind: fc.constant("click"), at: fc.nat(2000), target, form: word }),
  fc.record({ kind: fc.constant("mutation"), at: fc.nat(2000), where: fc.nat(100) }),
  fc.record({ kind: fc.constantFrom("focus", "input", "invalid", "submit"), at: fc.nat(2000), form: fc.string(), field: word }),
  fc.record({ kind: fc.constant("request"), at: fc.nat(2000), id: fc.nat(), phase: fc.constantFrom("start" as const, "end" as const), status: fc.constantFrom(0, 200, 422, 500), method: fc.constantFrom("GET", "POST") }),
  fc.record({ kind: fc.constant("navigation"), at: fc.nat(2000), path: fc.string() }),
  fc.record({ kind: fc.constant("busy"), at: fc.nat(2000), what: fc.string(), on: fc.boolean() }),
  fc.record({ kind: fc.constantFrom("error", "scroll", "selection", "leave", "visibility", "unknown"), at: fc.nat(2000), message: word }),
);
const story = fc.array(item, { maxLength: 60 }).map((items): Item[] => {
  let at = 0;
  return items.map((one) => ({ ...one, at: (at += one.at) }));
});

it("detectors take whatever happens, find the same again, and say it in words that a contract knows", () => {
  fc.assert(
    fc.property(story, (items) => {
      const found = findings(items);
      expect(findings(items)).toEqual(found);
      for (const { signal } of found) expect(signal.type).toMatch(/^client\.(click\.(rage|dead|error)|form\.(abandoned|stuck)|wandering|wait)$/);
    }),
  );
});

function frozen<T>(value: T): T {
  if (typeof value === "object" && value !== null) {
    Object.values(value).forEach(frozen);
    Object.freeze(value);
  }
  return value;
}

const button = targetOf({ tag: "button", label: "Pay" });
const many = function* (n: number): Generator<Interaction> {
  for (let at = 0; at < n * 40; at += 40) {
    const form = `f${at}`;
    const { name } = button;
    yield { kind: "click", at, target: { ...button, name: name + (at % 600) }, x: at % 999, y: 0, pointer: "mouse", form };
    yield { kind: "request", at, id: at, phase: "start", method: "POST" };
    yield { kind: "focus", at, form, field: form };
    yield { kind: "input", at, form, field: form };
    yield { kind: "invalid", at, form, field: `${at}` };
    yield { kind: "busy", at, what: form, on: true };
    yield { kind: "navigation", at, path: String.fromCharCode(97 + (at % 26)) };
    yield { kind: "error", at, message: form };
    yield { kind: "change", at, where: at };
  }
};

it.each(Object.keys(detectors))("%s: never changes what it is given, and remembers little", (name) => {
  const { initial, step } = detectors[name]!;
  let state = frozen(initial);
  for (const next of many(300)) state = frozen(step(state, next)[0]);
  const size = JSON.stringify(state).length;
  for (const next of many(300)) state = frozen(step(state, { ...next, at: next.at + 12_000 })[0]);
  expect(size).toBeLessThan(20_000);
  expect(JSON.stringify(state).length).toBeLessThan(20_000);
});

it.each(Object.keys(detectors))("%s: costs less than 0.1 ms an interaction", (name) => {
  const all = [...many(500)];
  const costs = Array.from({ length: 5 }, () => {
    const watch = watcher(detectors[name]!);
    const began = performance.now();
    for (const next of all) watch(next);
    return (performance.now() - began) / all.length;
  });
  expect(Math.min(...costs)).toBeLessThan(0.1);
});

it("names an element by its own words, without numbers that a page makes up", () => {
  expect(targetOf({ tag: "button", id: "pay-12345", label: "  Pay   now " }).name).toBe('button#pay-* "Pay now"');
  expect(targetOf({ tag: "div", role: "button", test: "go" }).name).toBe("div[button]#go");
  expect(targetOf({ tag: "a", label: `Order 123456 ${"x".repeat(80)}`, href: "/" }).name.length).toBeLessThan(60);
});

it("knows what answers where no page can see it", () => {
  const repeatable = { file: { tag: "input", type: "file" }, mail: { tag: "a", href: "mailto:a@b.example" }, plus: { tag: "button", label: "+" } };
  for (const facts of Object.values(repeatable)) expect(targetOf(facts).repeatable).toBe(true);
  for (const facts of [{ tag: "a", href: "/x" }, { tag: "button", label: "Pay" }, { tag: "input", type: "submit" }]) {
    expect(targetOf(facts)).toMatchObject({ repeatable: false, interactive: true });
  }
  expect(targetOf({ tag: "a" }).interactive).toBe(false);
});
