import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { begin } from "../src/edge/index";
import type { Bundle, Pass } from "../src/edge/types";
import type { EdgeMeans, Happened, Inside, Message } from "../src/help/types";
import type { Data, Json, Stop, Who } from "../src/types";

const NOON = Date.parse("2026-05-01T12:00:00Z");
const VERSION = "ab".repeat(32);
const ME: Who = { anonymousid: "v1" };

const bundle = (policies: object[] = [declined()]): Bundle =>
  ({
    issued: NOON * 1000 - 3.6e9,
    expires: (NOON + 43_200_000) * 1000,
    settings: { lateness: 3e8, grace: 2e6, budget: 3, budget_window: 8.64e10, spacing: 0, quiet_hours: null, timezone: "UTC", require_consent: false },
    doubles: {},
    policies,
  }) as unknown as Bundle;
function declined(more: object = {}): object {
  return {
    name: "declined", version: VERSION, priority: 50, cooldown: 3.6e9, valid_for: 1.2e8, budget_class: "guidance",
    in_conversation: "hold", quiet_hours: "ignore", purpose: "support", features: {},
    when: { ordered: true, positives: [{ types: ["payment.declined"] }], gaps: {} },
    message: { title: "Card declined", body: "Try another for {{ event.data.order | default(\"it\") }}.", why: "Help with cards" },
    ...more,
  };
}
const silence = declined({ when: { ordered: true, positives: [{ types: ["payment.declined"] }], gaps: {}, trailing: { types: ["payment.done"] }, quiet_for: 5e6 } });
const pass = (more: Partial<Pass> = {}): Pass => ({
  subject: "pseudonym", who: ME, issued: NOON * 1000, expires: (NOON + 86_400_000) * 1000, traits: {}, consent: {}, opted_out: false,
  tickets: 0, holdout: { global: false, policies: {} }, acts: [], dismissed: {}, ...more,
});

const encode = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString("base64url");

/** The server's key, and what is signed with it. */
async function signer(): Promise<{ edge: string; sign: (kind: string, payload: object) => Promise<string> }> {
  const { publicKey, privateKey } = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"])) as CryptoKeyPair;
  const edge = encode(new Uint8Array(await crypto.subtle.exportKey("raw", publicKey)));
  return {
    edge,
    async sign(kind, payload) {
      const text = `${encode(JSON.stringify({ alg: "EdDSA", typ: `forestall-edge-${kind}`, kid: "k" }))}.${encode(JSON.stringify(payload))}`;
      return `${text}.${encode(new Uint8Array(await crypto.subtle.sign("Ed25519", privateKey, Buffer.from(text))))}`;
    },
  };
}

/** A device and its server; tabs come and go. */
class Device {
  stored = new Map<string, Json>();
  answers: Record<string, () => Response | Promise<Response>> = {};
  asked: { url: string; headers: Record<string, string> }[] = [];
  who: Who = ME;
  leads = true;
  token: string | null = "token";
  shown: Message[] = [];
  left: [string, number][] = [];
  taken: { type: string; data: Data }[] = [];
  edge = "";
  /** Other bundles that were fetched. */
  loaded: string[] = [];
  /** Milliseconds since the page began. */
  ticks = 0;
  deciding: (happened: Happened) => readonly { type: string; data: Data }[] = () => [];
  identity: () => void = () => {};

  async serves(signed: Awaited<ReturnType<typeof signer>>, said = bundle(), mine = pass()): Promise<void> {
    this.edge = signed.edge;
    const [rules, own] = [await signed.sign("bundle", said), await signed.sign("pass", mine)];
    this.answers = { bundle: () => new Response(rules), pass: () => new Response(own) };
  }
  tab(): Stop {
    const began = Date.now();
    const inside = {
      page: {
        now: () => Date.now() - began + this.ticks,
        guard: (fn: () => void) => fn,
      },
      ask: async (url: string, headers = {}) => {
        this.asked.push({ url, headers });
        return (this.answers[url.split("/").at(-1) ?? ""] ?? (() => Promise.reject(new Error("offline"))))();
      },
      settled: { edge: this.edge },
      store: {
        get: (name: string) => structuredClone(this.stored.get(name)),
        set: (name: string, value: Json) => void this.stored.set(name, structuredClone(value)),
        remove: (name: string) => void this.stored.delete(name),
      },
      who: () => this.who,
      leads: () => this.leads,
      load: (name: string) => new Promise(() => this.loaded.push(name)),
      token: () => Promise.resolve(this.token),
      take: (type: string, data: Data) => this.taken.push({ type, data }),
      on: (_: string, listener: () => void) => {
        this.identity = listener;
        return () => {};
      },
      deciding: (asked: Device["deciding"]) => (this.deciding = asked),
    } as unknown as Inside;
    const means: EdgeMeans = { show: (message) => this.shown.push(message), leaveOut: (...left) => this.left.push(left) };
    return begin(inside, means);
  }
  happens(type: string, data: Data = {}, who = this.who): readonly { type: string; data: Data }[] {
    return this.deciding({ id: `e-${type}`, type, time: new Date().toISOString(), source: "/web/d", who, data });
  }
  /** Waits until `holds`: signatures are verified elsewhere. */
  async until(holds: () => boolean): Promise<void> {
    for (let turn = 0; !holds(); turn++) {
      if (turn > 20_000) throw new Error(`never: ${String(holds)}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  /** Waits until a tab has what it goes by, or has given up: then it waits for the next time. */
  async settles(): Promise<void> {
    const before = vi.getTimerCount();
    await this.until(() => vi.getTimerCount() > before);
  }
  /** A tab that has settled. */
  async opens(): Promise<Stop> {
    const stop = this.tab();
    await this.settles();
    return stop;
  }
}

/** Time for what must not happen. */
async function passes(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
}

let signed: Awaited<ReturnType<typeof signer>>;
let device: Device;
beforeEach(async () => {
  signed = await signer();
  device = new Device();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"], now: NOON });
});
afterEach(() => void vi.useRealTimers());

describe("a page that decides", () => {
  it("tells the decision before its event, and shows its words under the server's id", async () => {
    await device.serves(signed);
    await device.opens();
    const told = device.happens("payment.declined", { order: "A-1" });
    const matched = [["/web/d", "e-payment.declined"]];
    const data = { policy: "declined", version: VERSION, key: null, at: NOON * 1000, outcome: "intervene", reason: null, matched };
    expect(told).toEqual([{ type: "forestall.edge.decided", data }]);
    await device.until(() => device.shown.length > 0);
    const named = JSON.stringify([VERSION, "pseudonym", null, "2026-05-01T12:00:00.000000Z", matched]);
    const id = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(named))).toString("hex");
    expect(device.shown).toEqual([
      { id: `${id}.1`, intervention: id, policy: "declined", version: VERSION, title: "Card declined", body: "Try another for A-1.", why: "Help with cards", step: 1, expires_in: 120_000 },
    ]);
    expect(device.left).toEqual([["declined", 3_600_000]]);
    expect(device.happens("payment.declined")).toEqual([]);
  });
  it("asks for both with what each needs, and not again within five minutes, in no tab", async () => {
    await device.serves(signed);
    await device.opens();
    await device.opens();
    expect(device.asked.map(({ url, headers }) => [url, headers])).toEqual([
      ["edge/bundle", {}],
      ["edge/pass", { authorization: "Bearer token" }],
    ]);
    vi.advanceTimersByTime(300_001);
    await device.until(() => device.asked.length > 2);
  });
  it("decides offline, after a reload, by what it kept", async () => {
    await device.serves(signed);
    (await device.opens())();
    device.answers = {};
    expect(device.loaded).toEqual(["ui"]);
    vi.setSystemTime(NOON + 3_600_000);
    await device.opens();
    expect(device.happens("payment.declined").map(({ data }) => data["outcome"])).toEqual(["intervene"]);
  });
  it("keeps a deadline over a reload", async () => {
    await device.serves(signed, bundle([silence]));
    const stop = await device.opens();
    expect(device.happens("payment.declined")).toEqual([]);
    stop();
    vi.setSystemTime(NOON + 4000);
    await device.opens();
    expect(device.taken).toEqual([]);
    vi.advanceTimersByTime(1100);
    expect(device.taken.map(({ type, data }) => [type, data["at"]])).toEqual([["forestall.edge.decided", NOON * 1000 + 5e6]]);
    await device.until(() => device.shown.length > 0);
    expect(device.shown[0]?.body).toBe("Try another for it.");
  });
  it("says nothing of a deadline that is long over", async () => {
    await device.serves(signed, bundle([silence]));
    const stop = await device.opens();
    device.happens("payment.declined");
    stop();
    vi.setSystemTime(NOON + 250_000);
    await device.opens();
    expect(device.taken).toHaveLength(1);
    expect(device.shown).toEqual([]);
  });
  it("keeps its state once in a turn of the page, and a decision before it is told", async () => {
    await device.serves(signed, bundle([declined({ when: { ordered: true, positives: [{ types: ["a"] }, { types: ["b"] }], gaps: {} } })]));
    const stop = await device.opens();
    await passes();
    const kept = vi.spyOn(device.stored, "set");
    for (let n = 0; n < 50; n++) device.happens("a");
    expect(kept).not.toHaveBeenCalled();
    await passes();
    expect(kept).toHaveBeenCalledTimes(1);
    device.happens("a");
    expect(device.happens("b")).toHaveLength(1);
    expect(kept).toHaveBeenCalledTimes(2);
    const before = JSON.stringify(device.stored.get("progress"));
    stop();
    await passes();
    expect(JSON.stringify(device.stored.get("progress"))).toBe(before);
    await device.opens();
    device.happens("a");
    expect(device.happens("b")).toEqual([]);
  });
  it("goes on from where another tab of the device came to", async () => {
    await device.serves(signed, bundle([declined({ when: { ordered: true, positives: [{ types: ["a"] }, { types: ["b"] }], gaps: {} } })]));
    await device.opens();
    const one = device.deciding;
    await device.opens();
    const two = device.deciding;
    const happens = (tab: typeof one, type: string, id: string): number =>
      tab({ id, type, time: new Date().toISOString(), source: "/web/d", who: ME, data: {} }).length;
    for (const [tab, type, told] of [[one, "a", 0], [two, "c", 0], [two, "b", 1], [one, "a", 0], [one, "b", 0]] as const) {
      expect(happens(tab, type, `${type}${told}`)).toBe(told);
      await passes();
    }
  });
  it.each([[true], [false]])("keeps nothing of somebody who left in the same turn (it was told: %s)", async (told) => {
    await device.serves(signed, bundle([silence]));
    await device.opens();
    await passes();
    device.happens("payment.declined");
    device.stored.clear();
    device.who = { anonymousid: "next" };
    device.answers = {};
    if (told) device.identity();
    await passes();
    expect([...device.stored.keys()]).toEqual([]);
  });
  it("leaves what has no value for its words unsaid", async () => {
    await device.serves(signed, bundle([declined({ message: { title: "t", body: "{{ event.data.order }}" } })]));
    await device.opens();
    expect(device.happens("payment.declined")).toHaveLength(1);
    await passes();
    expect(device.shown).toEqual([]);
  });
  it("tells a holdout, and shows nothing", async () => {
    await device.serves(signed, bundle(), pass({ holdout: { global: true, policies: {} } }));
    await device.opens();
    expect(device.happens("payment.declined")[0]?.data).toMatchObject({ outcome: "holdout", reason: "global_holdout" });
    expect([device.shown, device.left]).toEqual([[], []]);
  });
  it("tells no time later than its event's, where the device's clock is slow", async () => {
    await device.serves(signed, bundle(), pass({ issued: (NOON + 60_000) * 1000 }));
    await device.opens();
    expect(device.happens("payment.declined")[0]?.data["at"]).toBe(NOON * 1000);
  });
});

describe("a page that does not decide", () => {
  const silent = async (): Promise<void> => {
    await device.opens();
    expect(device.happens("payment.declined")).toEqual([]);
  };
  it("by what was tampered with", async () => {
    await device.serves(signed);
    const [head, , signature] = (await (await device.answers["pass"]!()).text()).split(".");
    device.answers["pass"] = () => new Response(`${head}.${encode(JSON.stringify(pass({ opted_out: false, tickets: 0 })) + " ")}.${signature}`);
    await silent();
  });
  it("by what another key signed", async () => {
    await device.serves(await signer());
    device.edge = signed.edge;
    await silent();
  });
  it("by somebody else's pass", async () => {
    await device.serves(signed, bundle(), pass({ who: { subject: "other" } }));
    await silent();
  });
  it("by an expired pass or bundle", async () => {
    await device.serves(signed, bundle(), pass({ expires: NOON * 1000 }));
    await silent();
    await device.serves(signed, { ...bundle(), expires: NOON * 1000 });
    device.stored.clear();
    await silent();
  });
  it("where no policy is for pages, or the server answers HTML", async () => {
    device.edge = signed.edge;
    device.answers = { bundle: () => new Response("{}", { status: 404 }), pass: () => new Response("<html>") };
    await silent();
    device.answers = { bundle: () => new Response("<html>"), pass: () => new Response("<html>") };
    await silent();
  });
  it("where the browser has no Ed25519", async () => {
    await device.serves(signed);
    const missing = vi.spyOn(crypto.subtle, "importKey").mockRejectedValue(new DOMException("", "NotSupportedError"));
    await silent();
    missing.mockRestore();
  });
  it("offline, after its clock was set back", async () => {
    await device.serves(signed);
    (await device.opens())();
    device.answers = {};
    vi.setSystemTime(NOON - 3_600_000);
    await silent();
  });
  it("once it has ended, or somebody else is at the device", async () => {
    await device.serves(signed);
    const stop = await device.opens();
    expect(device.happens("payment.declined", {}, { subject: "u1" })).toEqual([]);
    device.who = { subject: "u1" };
    device.answers = {};
    device.identity();
    expect(device.stored.has("edge")).toBe(false);
    expect(device.happens("payment.declined")).toEqual([]);
    device.who = ME;
    stop();
    expect(device.happens("payment.declined")).toEqual([]);
  });
  it("for the next person what the one before was to hear, or keeps of them what came too late", async () => {
    await device.serves(signed);
    const stop = await device.opens();
    expect(device.happens("payment.declined")).toHaveLength(1);
    device.who = { subject: "u1" };
    device.identity();
    await device.until(() => device.asked.length > 3);
    await passes();
    expect(device.shown).toEqual([]);
    stop();

    device.who = ME;
    device.stored.clear();
    let arrives: ((answer: Response) => void) | undefined;
    const mine = await device.answers["pass"]!();
    device.answers["pass"] = () => new Promise((resolve) => (arrives = resolve));
    device.tab();
    await device.until(() => arrives !== undefined);
    device.who = { subject: "u1" };
    device.answers = {};
    device.identity();
    arrives!(mine);
    await passes();
    expect(device.stored.has("edge")).toBe(false);
  });
  it("by a state that is damaged: it begins anew", async () => {
    await device.serves(signed);
    (await device.opens())();
    const [of] = device.stored.get("edge") as Json[];
    for (const damaged of ["{", "{}", "[]", '{"clock":0,"serial":0,"patterns":[],"features":[],"told":[[]],"acts":[[]]}']) {
      device.stored.set("progress", [of, damaged] as Json);
      vi.setSystemTime(Date.now() + 7_200_000);
      const stop = await device.opens();
      expect(device.happens("payment.declined"), damaged).toHaveLength(1);
      stop();
    }
  });
  it("offline, by what the server said it offers no more", async () => {
    await device.serves(signed);
    await device.opens();
    device.answers = { bundle: () => new Response("{}", { status: 404 }) };
    vi.advanceTimersByTime(300_001);
    await device.until(() => (device.stored.get("edge") as Json[]).length === 1);
    device.answers = {};
    await silent();
  });
  it("without a token, and asks for nothing then; of a dead server less and less often", async () => {
    await device.serves(signed);
    device.token = null;
    await silent();
    expect(device.asked).toEqual([]);
    device.token = "token";
    device.answers = {};
    for (let second = 0; second < 600; second++) {
      vi.advanceTimersByTime(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(device.asked.length).toBeGreaterThan(3);
    expect(device.asked.length).toBeLessThan(16);
  });
});
