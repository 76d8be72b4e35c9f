import { afterEach, describe, expect, it, vi } from "vitest";
import { client } from "../src/client";
import { LIMITS, settle } from "../src/core/options";
import { asks } from "../src/core/transport";
import type { Inside } from "../src/help/types";
import type { Client, Options } from "../src/types";
import { Device, type Tab, until } from "./fakes";

const open: Client[] = [];
afterEach(() => {
  open.splice(0).forEach((each) => each.stop());
  vi.useRealTimers();
});

const settled = (options: Partial<Options> = {}): NonNullable<ReturnType<typeof settle>> => {
  const given = settle({ key: "key", host: "https://help.example", ...options }, "");
  if (!given) throw new Error("no settings");
  return given;
};
function start(window: Tab, options: Partial<Options> = {}): Client & { inside?: Inside } {
  const one: Client & { inside?: Inside } = client(window, settled(options), {}, (inside) => {
    one.inside = inside;
    return () => {};
  });
  open.push(one);
  return one;
}
const faked = { toFake: ["Date", "setTimeout", "clearTimeout"] as ("Date" | "setTimeout" | "clearTimeout")[] };
/** Hours, in which the device's database has its turns. */
async function hours(count: number): Promise<void> {
  for (let minute = 0; minute < count * 60; minute++) {
    await vi.advanceTimersByTimeAsync(60_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
describe("a key that the gateway does not take", () => {
  it.each([
    [401, true], [401, false], [403, true], [403, false],
  ])("ends all sending of the page with one %i (stored: %s), and a later page sends what waits, in order", async (says, stored) => {
    vi.useFakeTimers(faked);
    const device = new Device();
    Object.assign(device.gateway, { key: "right", says });
    device.blocked = !stored;
    const window = device.tab();
    const one = start(window, { key: "wrong" });
    const [error, lost] = [vi.fn(), vi.fn()];
    one.on("error", error);
    one.on("lost", lost);
    one.track("a");
    await hours(1);
    one.track("b");
    one.optOut();
    one.track("c");
    await one.flush();
    await hours(24);
    window.dispatchEvent(new Event("online"));
    window.dispatchEvent(new Event("pagehide"));
    await hours(1);
    expect(device.gateway.unknown).toEqual(["events"]);
    expect(device.beacons).toEqual([]);
    expect(error.mock.calls).toEqual([[{ reason: "key" }]]);
    expect(lost).not.toHaveBeenCalled();
    // It is no failure that a later page has to wait for.
    expect(device.stored.get("forestall.https://help.example.breaker") ?? '"failures":0').toContain('"failures":0');
    one.stop();
    if (!stored) return;
    const later = start(device.tab(), { key: "right" });
    later.track("d");
    await hours(1);
    expect(device.gateway.types()).toEqual(["a", "b", "forestall.optout", "c", "d"]);
  });

  it("is known from a visitor's token too: what needs one is not dropped", async () => {
    vi.useFakeTimers(faked);
    const device = new Device();
    const { gateway } = device;
    gateway.key = "right";
    // Dead at first: after five tries it would be given up.
    Object.defineProperty(gateway, "says", { get: () => (gateway.unknown.length < 5 ? 500 : 401) });
    const one = start(device.tab(), { key: "wrong" });
    const error = vi.fn();
    one.on("error", error);
    one.identify("", { plan: "pro" });
    one.track("a");
    await hours(24);
    expect([gateway.unknown, error.mock.calls.length]).toEqual([Array(5).fill("anonymous-tokens"), 1]);
    one.stop();
    start(device.tab(), { key: "right" });
    await hours(1);
    expect(gateway.types()).toEqual(["forestall.identify", "a"]);
  });

  it("leaves the queue to another tab with a better one", async () => {
    const device = new Device();
    device.gateway.key = "right";
    const wrong = start(device.tab(), { key: "wrong" });
    const right = start(device.tab(), { key: "right" });
    wrong.track("a");
    await until(() => device.gateway.types().includes("a"));
    right.track("b");
    await until(() => device.gateway.types().includes("b"));
    expect(device.gateway.unknown).toEqual(["events"]);
  });

  it("is not what a lost network or a dead server is", async () => {
    vi.useFakeTimers(faked);
    const device = new Device();
    device.blocked = true;
    const one = start(device.tab());
    const error = vi.fn();
    one.on("error", error);
    for (const status of [400, 402, 404, 429, 500, 503]) {
      device.gateway.answer = () => new Response("", { status });
      one.track("a");
      await hours(1);
    }
    expect(error).not.toHaveBeenCalled();
  });
});

describe("offline", () => {
  it.each([[true], [false]])("nothing is asked of the gateway until the network is back (stored: %s)", async (stored) => {
    vi.useFakeTimers(faked);
    const device = new Device();
    device.blocked = !stored;
    device.online = false;
    const window = device.tab();
    const fetched = vi.spyOn(window, "fetch");
    const one = start(window);
    one.track("a");
    await hours(1);
    await expect(one.inside!.ask("stream")).rejects.toBeDefined();
    one.optOut();
    await hours(24);
    await one.flush();
    window.dispatchEvent(new Event("pagehide"));
    window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
    await hours(1);
    expect([fetched.mock.calls.length, device.gateway.requests.length, device.beacons.length]).toEqual([0, 0, 0]);
    expect(device.stored.has("forestall.https://help.example.breaker")).toBe(false);
    Object.assign(window.navigator, { onLine: true });
    window.dispatchEvent(new Event("online"));
    await hours(1);
    expect(device.gateway.types()).toEqual(["a", "forestall.optout"]);
  });

  it("a browser that says it is online is believed nothing: it is tried, and tried again", async () => {
    vi.useFakeTimers(faked);
    const device = new Device();
    device.online = true;
    let tries = 0;
    device.gateway.answer = () => (++tries < 3 ? Promise.reject(new TypeError("network")) : undefined);
    start(device.tab()).track("a");
    await hours(1);
    expect([tries, device.gateway.types()]).toEqual([3, ["a"]]);
  });
});

describe("the cap on the network", () => {
  /** A way to the gateway that may carry so much; how much it counted. */
  const way = (most: number, answer: () => Response): { ask: ReturnType<typeof asks>; used: () => number; requests: () => number } => {
    let [used, requests] = [0, 0];
    const fetch = async (): Promise<Response> => (requests++, answer());
    const window = { fetch, navigator: {} } as unknown as Window & typeof globalThis;
    const ask = asks(window, settled(), (bytes) => (used += bytes) <= most, () => {});
    return { ask, used: () => used, requests: () => requests };
  };
  it("counts what is sent, and what comes, whatever it is", async () => {
    const { ask, used } = way(1e6, () => new Response("y".repeat(3000)));
    await (await ask("edge/bundle")).text();
    expect(used()).toBeGreaterThanOrEqual(3000);
    const before = used();
    await (await ask("events", {}, { body: "\u00fc".repeat(1000) })).text();
    expect(used() - before).toBeGreaterThanOrEqual(5000);
  });
  it("breaks an answer off that has no end, and asks for nothing more", async () => {
    let pieces = 0;
    const endless = (): Response =>
      new Response(new ReadableStream({ pull: (to) => (pieces++, to.enqueue(new Uint8Array(10_000))) }));
    const { ask, requests } = way(100_000, endless);
    const { body } = await ask("stream");
    const reader = body!.getReader();
    await expect((async () => { while (pieces < 50 && !(await reader.read()).done); })()).rejects.toThrow();
    expect(pieces).toBeLessThan(15);
    for (let n = 0; n < 20; n++) await expect(ask("events", {}, { body: "[]" })).rejects.toBeDefined();
    expect(requests()).toBe(1);
  });
  it("is one for events, visitors' tokens, beacons, streams, policies and bundles", async () => {
    vi.useFakeTimers(faked);
    const network = 40_000;
    const device = new Device();
    let carried = 0;
    const { fetch } = device.gateway;
    device.gateway.fetch = async (url, init) => {
      carried += 500 + String(init?.body ?? "").length;
      const answer = /stream|edge/.test(String(url)) ? new Response("z".repeat(1000)) : await fetch(url, init);
      const text = await answer.text();
      carried += text.length;
      return new Response(text, answer);
    };
    const window = device.tab();
    const one = start(window, { limits: { network } });
    vi.spyOn(window.navigator, "sendBeacon").mockImplementation((_, body) => {
      carried += (body as Blob).size;
      return true;
    });
    for (let n = 0; n < 100; n++) {
      one.track("a", { text: "x".repeat(n * 10) });
      if (n % 10 === 0) one.optIn();
      await one.inside?.ask(n % 2 ? "stream" : "edge/pass").then((answer) => answer.text(), () => {});
      await hours(1 / 200);
      window.dispatchEvent(new Event("pagehide"));
      window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
    }
    // What came with the last answer has come.
    expect(carried).toBeLessThan(network + 3000);
    expect(carried).toBeGreaterThan(network / 2);
    expect(LIMITS.network).toBe(2_000_000);
  });
});
