import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { CLOSED, failed, isProbe, mayTry, OPENS_AT, retryAfter } from "../src/core/breaker";
import { caps } from "../src/core/caps";
import { asksForPrivacy } from "../src/core/consent";
import { passes } from "../src/core/identity";
import { eventType } from "../src/core/naming";
import { isOn, LIMITS, settle } from "../src/core/options";
import { address } from "../src/core/redact";
import { storage } from "../src/core/storage";
import { jwt } from "./fakes";

describe("naming", () => {
  it.each([
    ["Payment Failed", "payment.failed"],
    ["payment_failed", "payment.failed"],
    ["paymentFailed", "payment.failed"],
    ["Step 2 Viewed", "step.2.viewed"],
    ["  Zahlung -- Überfällig! ", "zahlung.überfällig"],
    ["forestall.optout", "forestall.optout"],
    ["!!", ""],
  ])("%s is %s", (name, type) => expect(eventType(name)).toBe(type));

  it("is its own fixpoint", () =>
    fc.assert(fc.property(fc.string(), (name) => {
      expect(eventType(eventType(name))).toBe(eventType(name));
    })));
});

describe("options", () => {
  it("needs a key and a host of the web", () => {
    expect(settle({ key: "" }, "https://a.b/c")).toBeNull();
    expect(settle({ key: "k", host: "javascript:1" }, "")).toBeNull();
    expect(settle({ key: "k" }, "about:blank")).toBeNull();
    expect(settle({ key: "k" }, "https://a.b:8/sdk/forestall.js")?.host).toBe("https://a.b:8");
  });
  it("only lowers limits", () => {
    const limits = settle({ key: "k", limits: { events: 10, bytes: 1e12, cpu: -1 } }, "https://a.b")?.limits;
    expect(limits).toEqual({ ...LIMITS, events: 10 });
  });
  it("switches signals off, one or all", () => {
    const some = settle({ key: "k", signals: { clicks: false } }, "https://a.b")!;
    expect([isOn(some, "clicks"), isOn(some, "errors")]).toEqual([false, true]);
    for (const [signals, on] of [[false, false], [undefined, true], [{}, true]] as const) {
      expect(isOn(settle({ key: "k", ...(signals !== undefined && { signals }) }, "https://a.b")!, "errors")).toBe(on);
    }
  });
});

describe("addresses", () => {
  it.each([
    ["/a?token=1#x", "https://s.e/a"],
    ["https://u:p@s.e/a?b=1&tab=2&c=3", "https://s.e/a?tab=2"],
    ["mailto:somebody@s.e", "mailto:"],
    ["data:text/plain,secret", "data:"],
    ["http://[", ""],
  ])("%s may be sent as %s", (url, sent) => expect(address(url, "https://s.e/x", ["tab"])).toBe(sent));

  it("never keep a value of the query", () =>
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9]{6,12}$/), (secret) => {
        expect(address(`/p?q=${secret}#${secret}`, "https://s.e/", [])).not.toContain(secret);
      }),
    ));
});

describe("breaker", () => {
  it("waits longer and longer, by chance, and opens", () =>
    fc.assert(
      fc.property(fc.nat(40), fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(100_000), (times, chance, asked) => {
        let breaker = CLOSED;
        for (let i = 0; i < times; i++) breaker = failed(breaker, 1000, chance, asked);
        const wait = breaker.until - 1000;
        if (times === 0) return;
        expect(wait).toBeGreaterThanOrEqual(asked);
        expect(wait).toBeLessThanOrEqual(Math.max(asked, 600_000));
        expect(isProbe(breaker)).toBe(times >= OPENS_AT);
        if (times >= OPENS_AT) expect(wait).toBeGreaterThanOrEqual(300_000);
        else expect(wait).toBeLessThanOrEqual(Math.max(asked, 1000 * 2 ** times));
      }),
    ));
  it("is not held by a clock that was set back", () => {
    expect(mayTry({ failures: 1, until: 10_000_000 }, 0)).toBe(true);
    expect(mayTry({ failures: 1, until: 1000 }, 999)).toBe(false);
  });
  it.each([
    [null, 0],
    ["7", 7000],
    ["soon", 0],
    ["-3", 0],
    ["Thu, 01 Jan 1970 00:00:10 GMT", 9000],
  ])("reads Retry-After: %s", (header, wait) => expect(retryAfter(header, 1000)).toBe(wait));
});

describe("caps", () => {
  it("swallow what is thrown and count time; beyond the limit they switch off, once", () => {
    let clock = 0;
    const off = vi.fn();
    const cap = caps({ ...LIMITS, cpu: 50 }, () => clock, off);
    const work = cap.guard((milliseconds: number) => {
      clock += milliseconds;
      throw new Error("hidden");
    });
    work(60);
    clock = 10_000;
    work(60);
    clock = 30_000;
    for (const window of [3, 4, 5]) {
      expect(off).not.toHaveBeenCalled();
      clock = window * 10_000;
      work(60);
    }
    work(1);
    expect(off.mock.calls).toEqual([["cpu"]]);
    expect(cap.isOff()).toBe(true);
    expect(cap.event()).toBe(false);
  });
  it("count nested work once", () => {
    let clock = 0;
    const off = vi.fn();
    const cap = caps({ ...LIMITS, cpu: 50 }, () => clock, off);
    const inner = cap.guard(() => void (clock += 40));
    for (let n = 0; n < 12; n++) cap.guard(inner)();
    expect(off).not.toHaveBeenCalled();
    cap.guard(inner)();
    expect(off).toHaveBeenCalledOnce();
  });
  it("refuse events and bytes beyond the limits of a window", () => {
    let clock = 0;
    const cap = caps({ ...LIMITS, rate: 2, network: 100 }, () => clock, () => {});
    expect([cap.event(), cap.event(), cap.event()]).toEqual([true, true, false]);
    expect([cap.afford(60), cap.afford(60), cap.afford(1)]).toEqual([true, false, false]);
    clock = 60_000;
    expect([cap.event(), cap.afford(1)]).toEqual([true, false]);
    clock = 3_600_000;
    expect(cap.afford(60)).toBe(true);
  });
});

describe("storage", () => {
  it("remembers in memory where the device refuses, or holds nonsense", () => {
    const full = { getItem: () => "{", setItem: () => { throw new Error("quota"); }, removeItem: () => {} };
    for (const device of [() => full as unknown as Storage, () => undefined, () => { throw new Error("denied"); }]) {
      const store = storage(device, "p.", () => true);
      expect(store.get("a")).toBeUndefined();
      store.set("a", [1]);
      expect(store.get("a")).toEqual([1]);
      store.remove("a");
      expect(store.get("a")).toBeUndefined();
    }
  });
});

describe("privacy signals", () => {
  it.each([
    [{ globalPrivacyControl: true }, true],
    [{ doNotTrack: "1" }, true],
    [{ doNotTrack: "yes" }, true],
    [{ doNotTrack: "0", globalPrivacyControl: false }, false],
    [{ doNotTrack: "unspecified" }, false],
    [{}, false],
  ])("%j: %s", (navigator, asked) => expect(asksForPrivacy(navigator as Navigator)).toBe(asked));
});

describe("tokens", () => {
  const token = (sub: string, exp: number): string => jwt({ sub, exp });
  it("are kept until shortly before they end, and fetched again when refused", async () => {
    let clock = 0;
    const source = vi.fn<(reason: string) => string>(() => token("u", clock / 1000 + 100));
    const pass = passes(source, async () => null, () => ({ subject: "u" }), () => clock);
    await pass.get({ subject: "u" });
    await pass.get({ subject: "u" });
    clock = 71_000;
    await pass.get({ subject: "u" });
    await pass.get({ subject: "u" }, true);
    expect(source.mock.calls.map(([reason]) => reason)).toEqual(["start", "expires", "refused"]);
  });
  it("of somebody else are never used", async () => {
    const pass = passes(() => token("other", 1e9), async (id) => jwt({ anon: `${id}x` }), () => ({ subject: "u" }), () => 0);
    expect(await pass.get({ subject: "u" })).toBeNull();
    expect(await pass.get({ anonymousid: "a" })).toBeNull();
    expect(await pass.get({ subject: "former" })).toBeUndefined();
  });
  it("that cannot be had are null", async () => {
    for (const source of [() => "rubbish", () => "", () => Promise.reject(new Error("down")), () => { throw new Error("x"); }]) {
      expect(await passes(source, async () => null, () => ({ subject: "u" }), () => 0).get({ subject: "u" })).toBeNull();
    }
  });
});
