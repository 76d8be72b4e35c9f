import fc from "fast-check";
import { afterEach, expect, it, vi } from "vitest";
import { client } from "../src/client";
import { settle } from "../src/core/options";
import type { Client, Emit, Options, Start } from "../src/types";
import { Device, Gateway, jwt, type Tab, until } from "./fakes";

const open: Client[] = [];
afterEach(() => {
  open.splice(0).forEach((each) => each.stop());
  vi.useRealTimers();
});

function start(window: Tab, options: Partial<Options> = {}, starts: Record<string, Start> = {}): Client {
  const settled = settle({ key: "key", host: "https://help.example", ...options }, "");
  if (!settled) throw new Error("no settings");
  const one = client(window, settled, starts);
  open.push(one);
  return one;
}
const tokenFor = (sub: string) => () => jwt({ sub, exp: Date.now() / 1000 + 600 });

it("sends what the page tells, with the words of analytics.js", async () => {
  const device = new Device();
  const one = start(device.tab());
  one.track("Payment Failed", { amount: 12, at: new Date(0) as unknown as string });
  one.page("Docs", "Start");
  one.group("g7", { seats: 3 });
  one.trigger("refund", { order: 7 });
  await one.flush();
  expect(device.gateway.taken.map(({ type, data }) => [type, data])).toEqual([
    ["payment.failed", { amount: 12, at: "1970-01-01T00:00:00.000Z" }],
    ["page.viewed", { category: "Docs", name: "Start", path: "/cart" }],
    ["group.joined", { group: "g7", traits: { seats: 3 } }],
    ["client.help", { order: 7, topic: "refund" }],
  ]);
  expect(new Set(device.gateway.taken.map(({ anonymousid }) => anonymousid)).size).toBe(1);
  const { init } = device.gateway.requests[0]!;
  expect([init.credentials, init.redirect, init.keepalive]).toEqual(["omit", "error", true]);
});

it("links a sign-in to the visitor, and forgets both when signing out", async () => {
  const device = new Device();
  const one = start(device.tab(), { token: tokenFor("u1") });
  one.track("a");
  one.identify("u1", { plan: "pro" });
  one.track("b");
  one.identify("u1");
  await one.flush();
  one.reset();
  one.track("c");
  await one.flush();
  const [a, identified, b, c] = device.gateway.taken;
  expect(device.gateway.types()).toEqual(["a", "forestall.identify", "b", "c"]);
  expect(identified).toMatchObject({ subject: "u1", anonymousid: a?.anonymousid, data: { traits: { plan: "pro" } } });
  expect(b).toMatchObject({ subject: "u1" });
  expect(b?.anonymousid).toBeUndefined();
  expect(c?.subject).toBeUndefined();
  expect(c?.anonymousid).not.toBe(a?.anonymousid);
  expect(c?.source).not.toBe(a?.source);
});

it("never sends a control event with somebody else's token", async () => {
  const device = new Device();
  const one = start(device.tab(), { token: tokenFor("u1") });
  let lost = 0;
  one.on("lost", ({ events }) => (lost += events));
  one.identify("u2");
  one.identify("u3");
  one.track("x");
  for (const { init } of device.gateway.requests) expect(new Headers(init.headers).has("forestall-subject-token")).toBe(false);
  device.gateway.answer = (events) => (events.some(({ type }) => type.startsWith("forestall.")) ? new Response("", { status: 500 }) : undefined);
  await one.flush();
  expect(lost).toBe(1);
  expect(device.gateway.taken).toEqual([]);
});

it("asks for a fresh token once when the gateway refuses one", async () => {
  const device = new Device();
  const source = vi.fn<(reason: string) => string>(() => tokenFor("u1")());
  const one = start(device.tab(), { token: source });
  let refuse = true;
  device.gateway.answer = (events) => {
    if (!refuse) return undefined;
    refuse = false;
    return Response.json({ verdicts: events.map(({ id }) => ({ id, verdict: "quarantined", code: "subject-token-invalid" })) }, { status: 202 });
  };
  one.identify("u1");
  await one.flush();
  expect(source.mock.calls.map(([reason]) => reason)).toEqual(["start", "refused"]);
  expect(device.gateway.types()).toEqual(["forestall.identify"]);
});

it("tells the gateway of opt-out and consent, also a visitor's", async () => {
  const device = new Device();
  const one = start(device.tab());
  one.optOut("too much");
  one.consent("support");
  one.consent("support", false);
  one.optIn();
  await one.flush();
  expect(device.gateway.types()).toEqual([
    "forestall.optout", "forestall.consent.granted", "forestall.consent.withdrawn", "forestall.optin",
  ]);
  expect(new Headers(device.gateway.requests[0]?.init.headers).get("forestall-subject-token")).toBeTruthy();
});

it("keeps everything in memory until consent, and nothing after a refusal", async () => {
  const device = new Device();
  const one = start(device.tab(), { consent: "required" });
  one.track("a");
  await one.flush();
  expect([device.gateway.requests.length, device.stored.size, (await device.database.databases()).length]).toEqual([0, 0, 0]);
  one.consent(true);
  await one.flush();
  expect(device.gateway.types()).toEqual(["a"]);
  expect([...device.stored.keys()].sort()).toEqual(["choice", "device", "visitor"].map((it) => `forestall.https://help.example.${it}`));
  expect(one.who().anonymousid).toBe(device.gateway.taken[0]?.anonymousid);
  one.consent(false);
  one.track("b");
  await one.flush();
  expect(device.gateway.types()).toEqual(["a"]);
  await until(() => device.stored.size > 0);
  expect([...device.stored.keys()]).toEqual(["forestall.https://help.example.choice"]);
});

it.each([{ globalPrivacyControl: true }, { doNotTrack: "1" }])("under %j stores nothing and notices nothing", async (signals) => {
  const device = new Device();
  device.signals = signals;
  const begun = vi.fn(() => () => {});
  const one = start(device.tab(), { consent: "granted" }, { errors: begun });
  one.track("asked for");
  await one.flush();
  expect(device.gateway.types()).toEqual(["asked.for"]);
  expect([device.stored.size, (await device.database.databases()).length]).toEqual([0, 0]);
  expect(begun).not.toHaveBeenCalled();
});

it("starts the signals that are on, and ends them in every tab on opt-out", async () => {
  const device = new Device();
  const emits: Emit[] = [];
  const ended = vi.fn();
  const errors: Start = (_page, emit) => (emits.push(emit), ended);
  const clicks = vi.fn(() => () => {});
  const tabs = [device.tab(), device.tab()].map((tab) => start(tab, { signals: { clicks: false } }, { errors, clicks }));
  await until(() => emits.length === 2);
  expect(clicks).not.toHaveBeenCalled();
  emits[1]!({ type: "client.error", data: {} });
  tabs[0]!.optOut();
  await until(() => ended.mock.calls.length === 2);
  emits[1]!({ type: "client.error", data: {} });
  await until(() => device.gateway.taken.length === 2);
  expect(device.gateway.types().sort()).toEqual(["client.error", "forestall.optout"]);
});

it("has one sender for all tabs, and another when that goes", async () => {
  const device = new Device();
  const one = start(device.tab());
  const two = start(device.tab());
  two.track("from two");
  await until(() => device.gateway.taken.length === 1);
  expect(device.gateway.requests.length).toBe(1);
  two.track("later");
  one.stop();
  await until(() => device.gateway.taken.length === 2);
  expect(device.gateway.types()).toEqual(["from.two", "later"]);
});

it("gives up the lead for the browser's cache of pages, and works on when it comes back", async () => {
  const device = new Device();
  const window = device.tab();
  const one = start(window);
  await until(() => device.locked);
  window.dispatchEvent(new Event("pagehide"));
  await until(() => !device.locked);
  window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  one.track("again");
  await until(() => device.gateway.taken.length === 1);
  expect(device.locked).toBe(true);
});

it("tells, when it comes back from there, what other tabs changed meanwhile", async () => {
  const device = new Device();
  const window = device.tab();
  const one = start(window);
  one.identify("anna");
  await one.flush();
  const told = vi.fn();
  one.on("identity", (who) => told("identity", who));
  one.on("choice", (choice) => told("choice", choice));
  window.dispatchEvent(new Event("pagehide"));
  // A page in there hears nothing.
  device.windows.delete(window);
  const two = start(device.tab());
  two.reset();
  two.optOut();
  expect(told).not.toHaveBeenCalled();
  window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  expect(told.mock.calls).toEqual([
    ["choice", expect.objectContaining({ optedOut: true })],
    ["identity", two.who()],
  ]);
  window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: false }));
  expect(told).toHaveBeenCalledTimes(2);
});

it("tells of what was lost, but not of that again and again", async () => {
  const device = new Device();
  const one = start(device.tab());
  const heard: number[] = [];
  one.on("lost", ({ events }) => heard.push(events));
  device.gateway.answer = (events) =>
    Response.json({ verdicts: events.map(({ id }) => ({ id, verdict: "quarantined", code: "invalid-data" })) }, { status: 202 });
  one.track("too large", { text: "x".repeat(20_000) });
  one.track("bad");
  await until(() => heard.reduce((sum, events) => sum + events, 0) >= 3);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(device.gateway.requests.flatMap(({ events }) => events.map(({ type }) => type)).sort()).toEqual(["bad", "client.lost"]);
});

it("tells other tabs of a sign-out", async () => {
  const device = new Device();
  const one = start(device.tab());
  const two = start(device.tab());
  one.identify("u1");
  expect(two.who()).toEqual({ subject: "u1" });
  await two.flush();
  const heard = vi.fn();
  two.on("identity", heard);
  one.reset();
  await until(() => heard.mock.calls.length > 0);
  expect(two.who().subject).toBeUndefined();
  one.identify("u2");
  one.identify("u2");
  await until(() => heard.mock.lastCall?.[0].subject === "u2");
  const times = heard.mock.calls.length;
  device.stored.set("forestall.https://help.example.other", "1");
  two.track("a");
  await two.flush();
  expect(heard).toHaveBeenCalledTimes(times);
});

it("has one next visitor after a sign-out, whenever another tab hears of it", () => {
  const device = new Device();
  const window = device.tab();
  const one = start(window);
  const two = start(device.tab());
  const before = one.who().anonymousid;
  one.identify("anna");
  const seen: unknown[] = [];
  // As if the other tab looked after each single change of the storage.
  const look = vi.spyOn(device, "storage").mockImplementation((from) => {
    const plain = Device.prototype.storage.call(device, from);
    const after = (change: (...given: string[]) => void) => (...given: string[]): void => {
      change(...given);
      if (from === (window as unknown as EventTarget)) seen.push(two.who());
    };
    return { ...plain, setItem: after(plain.setItem), removeItem: after(plain.removeItem) } as Storage;
  });
  one.reset();
  look.mockRestore();
  const next = one.who();
  expect(next.anonymousid).not.toBe(before);
  expect(two.who()).toEqual(next);
  expect(seen.length).toBeGreaterThan(2);
  for (const who of seen) expect([{ subject: "anna" }, next]).toContainEqual(who);
});

it("sends by beacon what is left when the page goes, but no control events", async () => {
  const device = new Device();
  const window = device.tab();
  const one = start(window);
  one.track("a");
  one.optOut();
  one.track("b");
  window.dispatchEvent(new Event("pagehide"));
  expect(device.beacons.length).toBe(1);
  const events = JSON.parse(await device.beacons[0]!.body.text()) as { type: string }[];
  expect(events.map(({ type }) => type)).toEqual(["a"]);
  expect(device.beacons[0]!.url).toBe("https://help.example/v1/events?writeKey=key");
});

it("holds guidance back while anybody asks for that", () => {
  const one = start(new Device().tab());
  const heard: boolean[] = [];
  one.on("suppress", ({ held }) => heard.push(held));
  const [first, second] = [one.suppress(), one.suppress()];
  first();
  first();
  expect(one.held()).toBe(true);
  second();
  expect(one.held()).toBe(false);
  expect(heard).toEqual([true, true, true, false]);
});

it("works in memory where the browser blocks all storage", async () => {
  const device = new Device();
  device.blocked = true;
  const [one, two] = [start(device.tab()), start(device.tab())];
  one.track("a");
  two.track("b");
  await Promise.all([one.flush(), two.flush()]);
  await until(() => device.gateway.taken.length === 2);
  expect(device.gateway.types().sort()).toEqual(["a", "b"]);
});

it("halves a batch that is too large, and gives up on one event that is", async () => {
  const device = new Device();
  const one = start(device.tab());
  device.gateway.answer = (events) =>
    events.length > 2 || events.some(({ type }) => type === "big") ? new Response("", { status: 413 }) : undefined;
  for (const name of ["a", "b", "big", "c", "d"]) one.track(name);
  await one.flush();
  expect(device.gateway.types().filter((type) => type !== "client.lost")).toEqual(["a", "b", "c", "d"]);
});

it("waits as long as the gateway asks", async () => {
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
  const device = new Device();
  device.blocked = true;
  const one = start(device.tab());
  device.gateway.answer = () => new Response("", { status: 429, headers: { "retry-after": "120" } });
  one.track("a");
  await one.flush();
  device.gateway.answer = null;
  await vi.advanceTimersByTimeAsync(119_000);
  expect(device.gateway.requests.length).toBe(1);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(device.gateway.types()).toEqual(["a"]);
});

it("opens the breaker, and closes it again with one event as a probe", async () => {
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
  const device = new Device();
  device.blocked = true;
  const one = start(device.tab());
  device.gateway.answer = () => Promise.reject(new Error("down"));
  for (const name of ["a", "b", "c"]) one.track(name);
  await vi.advanceTimersByTimeAsync(290_000);
  expect(device.gateway.requests.length).toBe(5);
  device.gateway.answer = null;
  await vi.advanceTimersByTimeAsync(600_000);
  expect(device.gateway.requests.slice(5).map(({ events }) => events.length)).toEqual([1, 2]);
  expect(device.gateway.types()).toEqual(["a", "b", "c"]);
});

it.each([["keeps the queue on the device", false], ["keeps it in memory", true]])("is offline for a day, %s, and sends all once then, in order, with their own times", async (_, blocked) => {
  const HOUR = 3_600_000;
  const passes = async (hours: number): Promise<void> => {
    // The device's database goes on between, in turns that are not faked.
    for (let minute = 0; minute < hours * 60; minute++) {
      await vi.advanceTimersByTimeAsync(HOUR / 60);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"], now: Date.parse("2026-01-01T08:00:00Z") });
  const device = new Device();
  device.blocked = blocked;
  device.gateway.answer = () => Promise.reject(new TypeError("offline"));
  let window = device.tab();
  let one = start(window);
  const lost = vi.fn();
  one.on("lost", lost);
  const told: [string, string][] = [];
  for (let hour = 0; hour < 24; hour++) {
    if (hour === 12 && !blocked) {
      // Another page, or the next time the browser is opened.
      one.stop();
      one = start((window = device.tab()));
      one.on("lost", lost);
    }
    told.push([`hour.${hour}`, new Date().toISOString()]);
    one.track(`hour.${hour}`);
    await passes(1);
  }
  expect(device.gateway.taken).toEqual([]);
  expect(Date.now() - Date.parse(told[0]![1])).toBe(24 * HOUR);
  expect(device.gateway.requests.length).toBeLessThan(24 * 15);
  // The first answer is lost on the way: what the gateway has is told again under the same id.
  let answers = 0;
  device.gateway.answer = (events) => {
    const answer = device.gateway.take(events);
    return answers++ ? answer : Promise.reject(new TypeError("offline"));
  };
  window.dispatchEvent(new Event("online"));
  await passes(1);
  expect(device.gateway.taken.map((event) => [event.type, (event as unknown as { time: string }).time])).toEqual(told);
  expect(lost).not.toHaveBeenCalled();
  const requests = device.gateway.requests.length;
  await passes(24);
  expect(device.gateway.requests).toHaveLength(requests);
});

const strange = fc.oneof(
  fc.constant("take"),
  fc.constant("take and break off"),
  fc.constant("reject"),
  fc.record({ status: fc.constantFrom(200, 202, 204, 302, 400, 404, 413, 429, 500, 503), body: fc.oneof(fc.constant("<html>"), fc.constant(""), fc.constant("null"), fc.json()), after: fc.option(fc.string()) }),
);

// Vitest itself fails on a rejection that nobody handles.
it("whatever the server does: never throws, keeps the order, doubles nothing", async () => {
  vi.useFakeTimers({ toFake: ["Date", "setTimeout", "clearTimeout"] });
  await fc.assert(
    fc.asyncProperty(fc.array(strange, { maxLength: 8 }), fc.integer({ min: 1, max: 6 }), async (answers, count) => {
      const gateway = new Gateway();
      const device = new Device(gateway);
      device.blocked = true;
      const left = [...answers];
      gateway.answer = (events) => {
        const next = left.shift();
        if (next === undefined || next === "take") return undefined;
        if (next === "take and break off") gateway.take(events);
        if (typeof next === "string") return Promise.reject(new TypeError("network"));
        const empty = next.status === 204;
        const headers: Record<string, string> = next.after ? { "retry-after": encodeURIComponent(next.after) } : {};
        return new Response(empty ? null : next.body, { status: next.status, headers });
      };
      const one = start(device.tab());
      let lost = 0;
      one.on("lost", ({ events }) => (lost += events));
      const names = Array.from({ length: count }, (_, n) => `e${n}`);
      names.forEach((name) => one.track(name));
      await vi.advanceTimersByTimeAsync(4 * 3_600_000);
      one.stop();
      const taken = gateway.types().filter((type) => type !== "client.lost");
      expect(taken).toEqual(names.filter((name) => taken.includes(name)));
      expect(taken.length + lost).toBeGreaterThanOrEqual(count);
      expect(new Set(gateway.taken.map(({ id }) => id)).size).toBe(gateway.taken.length);
    }),
    { numRuns: 60 },
  );
});
