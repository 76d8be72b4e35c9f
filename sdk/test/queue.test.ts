import { IDBFactory } from "fake-indexeddb";
import fc from "fast-check";
import { expect, it } from "vitest";
import { LIMITS } from "../src/core/options";
import { type Entry, queue, surplus } from "../src/core/queue";
import { BYTES, cut, isControl } from "../src/core/transport";
import "./fakes";

const entry = (n: number, more: Partial<Entry> = {}): Entry => ({
  id: `id${n}`, type: "a", time: "2026-01-01T00:00:00Z", source: "/web/d", who: { anonymousid: "v" }, data: { n }, size: 100, ...more,
});
const ids = (entries: readonly Entry[]): string[] => entries.map(({ id }) => id);
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

it("keeps order across two tabs and reloads, loses and doubles nothing", () =>
  fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom("one", "two", "reload", "take"), { maxLength: 30 }), async (steps) => {
      const device = new IDBFactory();
      const open = () => queue("q", () => device, () => true, LIMITS, () => { throw new Error("lost"); });
      const tabs = { one: open(), two: open() };
      const out: string[] = [];
      let n = 0;
      for (const step of steps) {
        if (step === "reload") {
          await tabs.one.first(1);
          tabs.one = open();
        } else if (step === "take") {
          const some = await tabs.two.first(2);
          out.push(...ids(some));
          await tabs.two.remove(some);
        } else {
          tabs[step].add(entry(n++));
          await tabs[step].first(1);
        }
      }
      out.push(...ids(await tabs.one.first(1000)));
      expect(out).toEqual(ids(range(n).map((i) => entry(i))));
    }),
    { numRuns: 25 },
  ));

it("keeps what is added while earlier events are being stored", () =>
  fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 20 }), async (turns) => {
      const one = queue("q", () => device, () => true, LIMITS, () => { throw new Error("lost"); });
      const device = new IDBFactory();
      for (const [n, waits] of turns.entries()) {
        one.add(entry(n));
        for (let turn = 0; turn < waits; turn++) await new Promise((resolve) => setImmediate(resolve));
      }
      expect(ids(await one.first(1000))).toEqual(ids(range(turns.length).map((n) => entry(n))));
    }),
    { numRuns: 50 },
  ));

it("drops the oldest and counts them, in memory and on the device", async () => {
  for (const stored of [true, false]) {
    let lost = 0;
    const device = new IDBFactory();
    const limits = { ...LIMITS, events: 10 };
    const one = queue("q", () => device, () => stored, limits, (events) => (lost += events));
    for (const n of range(64)) {
      one.add(entry(n));
      await one.first(1);
    }
    const left = ids(await one.first(1000));
    expect(left.length + lost).toBe(64);
    expect(left).toEqual(ids(range(64).slice(lost).map((n) => entry(n))));
    expect(left.length).toBeLessThan(10 + 33);
  }
});

it("serves from memory where the database fails or is not allowed", async () => {
  const broken = { open: () => { throw new Error("denied"); } } as unknown as IDBFactory;
  const never = { open: () => { const r = {} as IDBOpenDBRequest; setTimeout(() => r.onerror?.(new Event("error"))); return r; } } as unknown as IDBFactory;
  for (const device of [() => undefined, () => broken, () => never, () => { throw new Error("denied"); }]) {
    const one = queue("q", device, () => true, LIMITS, () => {});
    one.add(entry(1));
    one.add(entry(2));
    const some = await one.first(1);
    expect(ids(some)).toEqual(["id1"]);
    await one.remove(some);
    expect(ids(await one.first(9))).toEqual(["id2"]);
    expect(one.shared()).toBe(false);
    await one.clear();
    expect(await one.first(9)).toEqual([]);
  }
});

it("throws away what is damaged, and counts it", async () => {
  const device = new IDBFactory();
  let lost = 0;
  const one = queue("q", () => device, () => true, LIMITS, (events) => (lost += events));
  one.add({ id: 7 } as unknown as Entry);
  one.add(entry(1));
  expect(ids(await one.first(9))).toEqual(["id1"]);
  expect(ids(await one.first(9))).toEqual(["id1"]);
  expect(lost).toBe(1);
});

it("moves what waited for consent to the device, in order", async () => {
  const device = new IDBFactory();
  let allowed = false;
  const one = queue("q", () => device, () => allowed, LIMITS, () => {});
  one.add(entry(1));
  expect(ids(await one.first(9))).toEqual(["id1"]);
  expect(await device.databases()).toEqual([]);
  allowed = true;
  one.add(entry(2));
  const other = queue("q", () => device, () => true, LIMITS, () => {});
  await one.first(1);
  expect(ids(await other.first(9))).toEqual(["id1", "id2"]);
});

const some = fc.array(fc.record({ size: fc.integer({ min: 1, max: 20_000 }), kind: fc.constantFrom("a", "forestall.optout"), who: fc.constantFrom("x", "y") }), { maxLength: 40 });

it("cuts batches that fit, that one token proves, and that begin at the head", () =>
  fc.assert(
    fc.property(some, fc.integer({ min: 1, max: 100 }), (given, most) => {
      const entries = given.map(({ size, kind, who }, n) => entry(n, { size, type: kind, who: { subject: who } }));
      const { batch, proof } = cut(entries, most);
      expect(batch).toEqual(entries.slice(0, batch.length));
      expect(batch.length).toBeLessThanOrEqual(most);
      if (entries.length) expect(batch.length).toBeGreaterThan(0);
      if (batch.length > 1) expect(batch.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(BYTES);
      const proofs = new Set(batch.filter(isControl).map(({ who }) => who.subject));
      expect([...proofs]).toEqual(proof ? [proof.subject] : []);
    }),
  ));

it("knows how many of the oldest are too many", () =>
  fc.assert(
    fc.property(some, fc.nat(20), fc.nat(100_000), (given, events, bytes) => {
      const entries = given.map(({ size }, n) => entry(n, { size }));
      const kept = entries.slice(surplus(entries, { ...LIMITS, events, bytes }));
      expect(kept.length).toBeLessThanOrEqual(events);
      expect(kept.reduce((sum, { size }) => sum + size, 0)).toBeLessThanOrEqual(bytes);
    }),
  ));
