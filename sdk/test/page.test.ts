// @vitest-environment happy-dom
import { beforeEach, expect, it, vi } from "vitest";
import { Gateway, until } from "./fakes";

type Words = Record<string, (...given: unknown[]) => unknown>;
const page = window as unknown as { forestall?: Words; analytics?: Words };
const options = { host: "https://help.example", key: "k", signals: false };
let gateway: Gateway;

beforeEach(() => {
  vi.resetModules();
  delete page.forestall;
  delete page.analytics;
  document.head.innerHTML = "";
  localStorage.clear();
  gateway = new Gateway();
  vi.stubGlobal("fetch", gateway.fetch);
  vi.spyOn(document.head, "append").mockImplementation(() => {});
});

it("makes the calls that the snippet kept, in order, also those of analytics.js", async () => {
  await import("../src/snippet");
  page.analytics!["track"]!("Early");
  page.forestall!["init"]!(options);
  page.forestall!["page"]!("Docs", "Start");
  const [ahead] = vi.mocked(document.head.append).mock.calls[0] as [HTMLLinkElement];
  const address = "https://help.example/sdk/forestall.js";
  if (ahead.localName === "link") {
    expect([ahead.rel, ahead.as, ahead.href, ahead.crossOrigin]).toEqual(["preload", "script", address, "anonymous"]);
    ahead.dispatchEvent(new Event("load"));
  }
  const [script] = vi.mocked(document.head.append).mock.lastCall as unknown as [HTMLScriptElement];
  expect([script.src, script.crossOrigin]).toEqual([address, "anonymous"]);
  await import("../src/global");
  const done = vi.fn();
  page.analytics!["track"]!("Order Completed", { total: 3 }, {}, done);
  await until(() => gateway.taken.length === 3 && done.mock.calls.length === 1);
  expect(gateway.types()).toEqual(["early", "page.viewed", "order.completed"]);
  expect(page.analytics).toBe(page.forestall);
});

it("leaves an analytics that is there alone, and is started once", async () => {
  const theirs = { track: vi.fn() } as unknown as Words;
  page.analytics = theirs;
  await import("../src/snippet");
  const stub = page.forestall;
  vi.resetModules();
  await import("../src/snippet");
  expect(page.forestall).toBe(stub);
  await import("../src/global");
  expect(page.analytics).toBe(theirs);
});

it("starts once, and fetches nothing where no host is said", async () => {
  await import("../src/snippet");
  const init = page.forestall!["init"]!;
  vi.mocked(document.head.append).mockClear();
  const asked = (): unknown[] =>
    vi.mocked(document.head.append).mock.calls.filter(([one]) => /\/sdk\/forestall\.js/.test((one as HTMLElement).outerHTML));
  for (const odd of [undefined, null, {}, "x", 7, { host: 17 }]) init(odd);
  expect(asked()).toEqual([]);
  expect(page.forestall).toHaveLength(0);
  init(options);
  init({ ...options, host: "https://another.example" });
  expect(asked()).toHaveLength(1);
  expect(Array.from(page.forestall as unknown as unknown[])).toEqual([["init", [options]]]);
});

it("answers before it has come as it does after", async () => {
  await import("../src/snippet");
  const words = page.forestall as unknown as Record<string, (...given: unknown[]) => () => void>;
  await expect((words["flush"]!() as unknown as Promise<void>)).resolves.toBeUndefined();
  const heard = [vi.fn(), vi.fn(), vi.fn()];
  const ends = heard.map((listener) => words["on"]!("suppress", listener));
  words["init"]!(options);
  ends[0]!();
  await import("../src/global");
  ends[1]!();
  const now = page.forestall as unknown as { suppress: () => void };
  now.suppress();
  expect(heard.map(({ mock }) => mock.calls.length)).toEqual([0, 0, 1]);
});

it("keeps no more than so many calls where it never comes", async () => {
  await import("../src/snippet");
  for (let n = 0; n < 1000; n++) page.forestall!["track"]!("a");
  expect(page.forestall).toHaveLength(200);
});

it("takes every word before init, and whatever it is given", async () => {
  const api = await import("../src/index");
  const words = api as unknown as Words;
  const odd = [undefined, null, 7, "", "x", {}, [], () => { throw new Error("theirs"); }, Symbol("s"), NaN, 10n];
  const heard = vi.fn();
  const stop = api.on("event", heard);
  const call = (): void => {
    for (const word of ["track", "page", "identify", "group", "alias", "trigger", "consent", "optOut", "optIn", "suppress"]) {
      for (const first of odd) expect(() => words[word]!(first, odd[5])).not.toThrow();
    }
  };
  call();
  expect(() => words["init"]!(undefined)).not.toThrow();
  api.init({ ...options, signals: false });
  call();
  api.consent(true);
  api.reset();
  api.track("last");
  await api.flush();
  await until(() => gateway.types().includes("last"));
  expect(heard).toHaveBeenCalled();
  stop();
  heard.mockClear();
  api.track("unheard");
  expect(heard).not.toHaveBeenCalled();
});

it("says who it is, as analytics.js does, and calls when it is ready", async () => {
  const api = await import("../src/index");
  const ready = vi.fn();
  api.ready(ready);
  expect([api.user().id(), api.choice().consent]).toEqual([null, null]);
  api.init({ ...options, signals: false });
  await until(() => ready.mock.calls.length === 1);
  api.identify("u1");
  expect(api.user().id()).toBe("u1");
  api.reset();
  expect(api.user().id()).toBeNull();
  expect(api.user().anonymousId()).toMatch(/^[0-9a-f]{32}$/);
});
