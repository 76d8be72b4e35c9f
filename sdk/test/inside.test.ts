import { afterEach, expect, it, vi } from "vitest";
import { client } from "../src/client";
import { passes } from "../src/core/identity";
import { settle } from "../src/core/options";
import { visitorToken } from "../src/core/transport";
import type { Inside } from "../src/help/types";
import type { Client, Options } from "../src/types";
import { Device, jwt, type Tab, until } from "./fakes";

const open: Client[] = [];
afterEach(() => {
  open.splice(0).forEach((each) => each.stop());
  vi.useRealTimers();
});

function settled(options: Partial<Options> = {}): NonNullable<ReturnType<typeof settle>> {
  const given = settle({ key: "key", host: "https://help.example", ...options }, "");
  if (!given) throw new Error("no settings");
  return given;
}
/** A client, and what it gives to the bundles that come later. */
async function start(window: Tab, options: Partial<Options> = {}): Promise<{ one: Client; inside: Inside }> {
  let inside: Inside | undefined;
  const one = client(window, settled(options), {}, (given) => {
    inside = given;
    return () => {};
  });
  open.push(one);
  await until(() => inside !== undefined);
  return { one, inside: inside! };
}
/** The same where timers are faked. */
async function started(window: Tab, options: Partial<Options> = {}): Promise<{ one: Client; inside: Inside }> {
  const begun = start(window, options);
  await vi.advanceTimersByTimeAsync(10);
  return begun;
}
const faked = { toFake: ["Date", "setTimeout", "clearTimeout"] as ("Date" | "setTimeout" | "clearTimeout")[] };

it("queues what is decided at an event before it, and asks not about that", async () => {
  const device = new Device();
  const { one, inside } = await start(device.tab());
  const asked: string[] = [];
  inside.deciding(({ type, id, who, source, time }) => {
    asked.push(type);
    expect([id.length, source.startsWith("/web/"), Number.isNaN(Date.parse(time)), Boolean(who.anonymousid)]).toEqual([32, true, false, true]);
    return type === "payment.failed" ? [{ type: "forestall.edge.decided", data: { policy: "p" } }] : [];
  });
  one.track("cart viewed");
  one.track("payment failed");
  await one.flush();
  expect(device.gateway.types()).toEqual(["cart.viewed", "forestall.edge.decided", "payment.failed"]);
  expect(asked).toEqual(["cart.viewed", "payment.failed"]);
});

it("sends an event also where the deciding breaks", async () => {
  const device = new Device();
  const { one, inside } = await start(device.tab());
  inside.deciding(() => {
    throw new Error("broken");
  });
  one.track("a");
  one.track("b");
  await one.flush();
  expect(device.gateway.types()).toEqual(["a", "b"]);
});

it("begins with messages once the person allows it, and only then", async () => {
  const device = new Device();
  const begun = vi.fn(() => () => {});
  const one = client(device.tab(), settled({ consent: "required" }), {}, begun);
  open.push(one);
  await one.flush();
  expect(begun).not.toHaveBeenCalled();
  one.consent(true);
  one.consent(true);
  expect(begun).toHaveBeenCalledTimes(1);
});

it("tells other tabs what one of them tells, and which one talks with the server", async () => {
  const device = new Device();
  const [first, second] = [await start(device.tab()), await start(device.tab())];
  await until(() => first.inside.leads());
  expect(second.inside.leads()).toBe(false);
  const heard: unknown[] = [];
  second.one.on("news", (news) => heard.push(news));
  second.one.on("leads", (leads) => heard.push(leads));
  first.inside.tell({ help: { a: 1 } });
  await until(() => heard.length === 1);
  first.one.stop();
  await until(() => heard.length === 2);
  expect(heard).toEqual([{ help: { a: 1 } }, true]);
});

it("sends an opt-out at once, from whichever tab", async () => {
  const device = new Device();
  const [, second] = [await start(device.tab()), await start(device.tab())];
  await until(() => device.locked);
  vi.useFakeTimers(faked);
  const began = Date.now();
  second.one.track("before");
  second.one.optOut();
  // Databases take turns of their own: time goes by only where something waits for a timer.
  for (let n = 0; n < 200 && !device.gateway.types().includes("forestall.optout"); n++) {
    await vi.advanceTimersByTimeAsync(1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(device.gateway.types()).toEqual(["before", "forestall.optout"]);
  expect(Date.now() - began).toBeLessThan(200);
});

it("does not hammer a dead server from one page to the next", async () => {
  vi.useFakeTimers(faked);
  const device = new Device();
  device.gateway.answer = () => Promise.reject(new Error("down"));
  for (let page = 0; page < 60; page++) {
    const one = client(device.tab(), settled(), {});
    one.track(`page ${page}`);
    for (let n = 0; n < 4; n++) {
      await vi.advanceTimersByTimeAsync(250);
      await one.flush();
    }
    one.stop();
  }
  expect(device.gateway.requests.length).toBeLessThanOrEqual(6);
  device.gateway.answer = null;
  const last = client(device.tab(), settled(), {});
  open.push(last);
  for (let n = 0; n < 700 && device.gateway.taken.length < 60; n++) {
    await vi.advanceTimersByTimeAsync(1000);
    await last.flush();
  }
  expect(device.gateway.types().filter((type) => type !== "client.lost")).toEqual(Array.from({ length: 60 }, (_, page) => `page.${page}`));
  expect(device.gateway.requests.at(-2)?.events.length).toBe(1);
});

it.each(["{", "[1]", "{\"failures\":\"x\",\"until\":1}", "{\"failures\":9,\"until\":null}", "7"])("sends although the breaker was kept as %s", async (kept) => {
  const device = new Device();
  device.stored.set("forestall.https://help.example.breaker", kept);
  const { one } = await start(device.tab());
  one.track("a");
  await one.flush();
  expect(device.gateway.types()).toEqual(["a"]);
});

it("keeps nothing of a failure where the person does not want anything kept", async () => {
  const device = new Device();
  device.gateway.answer = () => Promise.reject(new Error("down"));
  const { one } = await start(device.tab());
  one.track("a");
  await one.flush();
  expect(device.stored.has("forestall.https://help.example.breaker")).toBe(true);
  one.consent(false);
  expect([...device.stored.keys()]).toEqual(["forestall.https://help.example.choice"]);
});

it("is not held up by a backend that never gives a token", async () => {
  vi.useFakeTimers(faked);
  const tokens = passes(() => new Promise(() => {}), async () => null, () => ({ subject: "u" }), Date.now);
  const got = vi.fn();
  void tokens.get({ subject: "u" }).then(got);
  await vi.advanceTimersByTimeAsync(16_000);
  expect(got).toHaveBeenCalledWith(null);
});

it("keeps a no, and what was decided here, until there is a token again; a sign-in it gives up", async () => {
  vi.useFakeTimers(faked);
  const device = new Device();
  const source = vi.fn((): string => "");
  const { one, inside } = await started(device.tab(), { token: source });
  const hours = async (): Promise<void> => {
    for (let minute = 0; minute < 120; minute++) {
      await vi.advanceTimersByTimeAsync(60_000);
      await one.flush();
    }
  };
  one.identify("u");
  await hours();
  const lost = vi.fn();
  one.on("lost", lost);
  inside.take("forestall.edge.decided", { policy: "p" });
  one.track("Payment Declined");
  one.optOut();
  await hours();
  expect(device.gateway.types()).toEqual([]);
  source.mockImplementation(() => jwt({ sub: "u", exp: Date.now() / 1000 + 600 }));
  await hours();
  expect(device.gateway.types()).toEqual(["forestall.edge.decided", "payment.declined", "forestall.optout"]);
  expect(lost).not.toHaveBeenCalled();
});

it.each([["hours ahead", 5 * 3600], ["hours behind", -5 * 3600]])("asks not again and again for a token where the clock is %s", async (_, seconds) => {
  vi.useFakeTimers(faked);
  const source = vi.fn(() => jwt({ sub: "u", exp: Date.now() / 1000 - seconds + 600 }));
  const tokens = passes(source, async () => null, () => ({ subject: "u" }), Date.now);
  for (let n = 0; n < 25; n++) {
    expect(await tokens.get({ subject: "u" })).toBeTruthy();
    await vi.advanceTimersByTimeAsync(1000);
  }
  expect(source).toHaveBeenCalledTimes(1);
});

it.each([[201, "t"], [403, undefined], [501, undefined], [429, null], [500, null]])("%s for a visitor's token is %s", async (status, token) => {
  expect(await visitorToken(async () => Response.json({ token: "t" }, { status }), "v")).toBe(token);
});

it("tells whoever listens that it switched itself off", async () => {
  const device = new Device();
  const window = device.tab();
  let now = 0;
  Object.defineProperty(window, "performance", { value: { now: () => now } });
  const { one, inside } = await start(window);
  const heard = vi.fn();
  one.on("off", heard);
  inside.page.guard(() => (now += 3000))();
  expect(heard).toHaveBeenCalledWith({ reason: "cpu" });
  await until(() => device.gateway.types().includes("client.off"));
});

it.each([["hours ahead", 5], ["hours behind", -5], ["two days ahead", 48]])("tells the time as the server has it where the clock is %s, also on the next page", async (_, hours) => {
  vi.useFakeTimers(faked);
  const device = new Device();
  const times: number[] = [];
  const real = (): number => Date.now() - hours * 3_600_000;
  device.gateway.answer = (events, init) => {
    times.push(...(JSON.parse(String(init.body)) as { time: string }[]).map(({ time }) => Date.parse(time) - real()));
    const verdicts = events.map(({ id }) => ({ id, verdict: "accepted" }));
    return Response.json({ verdicts }, { status: 202, headers: { date: new Date(real()).toUTCString() } });
  };
  for (const name of ["first", "second"]) {
    const one = client(device.tab(), settled(), {});
    one.track(name);
    await one.flush();
    one.track(`${name} again`);
    await one.flush();
    one.stop();
  }
  expect(Math.abs(times[0]!)).toBe(Math.abs(hours) * 3_600_000);
  for (const time of times.slice(1)) expect(Math.abs(time)).toBeLessThanOrEqual(1000);
  expect(times.length).toBe(4);
});

it("leaves times alone where the clock is right, and goes by it again when it is", async () => {
  const device = new Device();
  let wrong = 7_200_000;
  device.gateway.answer = (events) =>
    Response.json(
      { verdicts: events.map(({ id }) => ({ id, verdict: "accepted" })) },
      { status: 202, headers: { date: new Date(Date.now() + wrong).toUTCString() } },
    );
  const { one, inside } = await start(device.tab());
  for (const next of [7_200_000, 3000, 0]) {
    one.track("a");
    await one.flush();
    expect(Math.abs(Number(inside.store.get("clock")) - (wrong > 30_000 ? wrong : 0))).toBeLessThanOrEqual(1500);
    wrong = next;
  }
});
