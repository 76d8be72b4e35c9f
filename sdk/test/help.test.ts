import fc from "fast-check";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { AGAIN, PAUSE } from "../src/help/interface";
import { SILENCE } from "../src/help/stream";
import type { Told } from "../src/help/types";
import type { Who } from "../src/types";
import { Home, message } from "./home";

let home: Home;
beforeEach(() => {
  vi.useFakeTimers();
  home = new Home();
});
afterEach(() => {
  home.end();
  vi.useRealTimers();
});
const pass = (milliseconds: number): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);

it("shows a message that comes, and tells what became of it", async () => {
  const tab = home.tab();
  await pass(0);
  home.streams[0]!.say("current", { ids: [] });
  home.streams[0]!.message(message("m1", { step: 2, version: "v7" }));
  await pass(0);
  expect(tab.shown).toBe("m1");
  tab.told!.seen();
  tab.told!.seen();
  tab.told!.acted("why");
  tab.told!.acted("step", "1");
  tab.told!.helped();
  tab.told!.dismissed();
  const ref = { intervention: "im1", policy: "p", version: "v7", step: 2 };
  expect(tab.taken).toEqual([
    ["forestall.intervention.seen", ref],
    ["forestall.intervention.acted", { ...ref, what: "why" }],
    ["forestall.intervention.acted", { ...ref, what: "step", value: "1" }],
    ["forestall.intervention.helped", ref],
  ]);
});

it.each([
  [(told: Told) => told.acted("choice", "yes"), "forestall.intervention.answered", { choice: "yes" }],
  [(told: Told) => told.dismissed(true), "forestall.intervention.dismissed", { never: true }],
  [(told: Told) => told.dismissed(), "forestall.intervention.dismissed", {}],
  [(told: Told) => told.asked("please call"), "client.help", { topic: "person", words: "please call" }],
])("after %s, which is told as %s, it is over in all tabs, also after a reload", async (does, type, data) => {
  const [one, two] = [home.tab(), home.tab()];
  await pass(0);
  home.streams[0]!.message(message("m"));
  await pass(0);
  expect([one.shown, two.shown]).toEqual(["m", "m"]);
  does(two.told!);
  two.goes();
  await pass(PAUSE);
  expect([one.shown, two.shown]).toEqual([undefined, undefined]);
  expect(two.taken).toEqual([[type, { intervention: "im", policy: "p", ...data }]]);
  home.reload();
  const again = home.tab();
  await pass(0);
  home.streams.at(-1)!.message(message("m"));
  await pass(0);
  expect(again.shown).toBeUndefined();
});

it("goes on showing, after a reload, what nobody closed", async () => {
  home.tab();
  await pass(0);
  home.streams[0]!.message(message("m"));
  await pass(0);
  home.reload();
  const again = home.tab();
  await pass(0);
  home.streams[1]!.message(message("m"));
  await pass(0);
  expect(again.shown).toBe("m");
});

it("has one connection for all tabs; one that comes later gets what is open, with the time that is left", async () => {
  const first = home.tab();
  await pass(0);
  home.streams[0]!.say("current", { ids: [] });
  home.streams[0]!.message(message("m", { expires_in: 1000 }));
  await pass(400);
  const later = home.tab();
  await pass(0);
  expect([home.streams.length, later.shown]).toEqual([1, "m"]);
  await pass(599);
  expect([first.shown, later.shown]).toEqual(["m", "m"]);
  await pass(2);
  expect([first.shown, later.shown]).toEqual([undefined, undefined]);
});

it("takes over when the tab with the connection goes, and shows nothing twice", async () => {
  const [first, second] = [home.tab(), home.tab()];
  await pass(0);
  home.streams[0]!.message(message("m"));
  await pass(0);
  first.close();
  await pass(0);
  expect(home.streams.map(({ open }) => open)).toEqual([false, true]);
  const views = second.views;
  home.streams[1]!.say("current", { ids: ["m"] });
  home.streams[1]!.message(message("m"));
  await pass(0);
  expect([second.shown, second.views]).toEqual(["m", views]);
});

it("waits a moment after one that the person is done with before it shows the next", async () => {
  const tab = home.tab();
  await pass(0);
  home.streams[0]!.message(message("a"));
  home.streams[0]!.message(message("b"));
  await pass(0);
  tab.told!.helped();
  tab.goes();
  await pass(PAUSE - 1);
  expect(tab.shown).toBeUndefined();
  await pass(1);
  expect([tab.shown, tab.views]).toEqual(["b", 2]);
});

it("leaves what is said at the end until it is over, and then for as long as nothing else is to be shown", async () => {
  const [tab, other] = [home.tab(), home.tab()];
  await pass(0);
  home.streams[0]!.message(message("a"));
  home.streams[0]!.message(message("b", { expires_in: 300_000 }));
  await pass(0);
  tab.told!.asked("");
  await pass(100_000);
  expect([tab.shown, other.shown]).toEqual(["a", "b"]);
  tab.told!.over();
  await pass(0);
  expect(tab.shown).toBe("b");
  tab.told!.asked("");
  tab.told!.over();
  await pass(100_000);
  expect(tab.shown).toBe("b");
  home.streams.at(-1)!.message(message("c"));
  await pass(0);
  expect(tab.shown).toBe("c");
  tab.told!.asked("");
  home.be({ anonymousid: "somebody new" });
  expect(tab.shown).toBeUndefined();
});

it("shows the next one where one cannot be drawn, and tries that on the next page again", async () => {
  const tab = home.tab();
  tab.breaks = ["a"];
  await pass(0);
  for (const id of ["a", "b"]) home.streams[0]!.message(message(id));
  await pass(0);
  expect([tab.shown, tab.views, tab.taken]).toEqual(["b", 2, []]);
  tab.told!.broken();
  home.streams[0]!.message(message("c"));
  await pass(0);
  expect(tab.shown).toBe("c");
  home.reload();
  const next = home.tab();
  await pass(0);
  for (const id of ["a", "b"]) home.streams.at(-1)!.message(message(id));
  await pass(0);
  expect(next.shown).toBe("a");
});

it("shows the next one where thanks break", async () => {
  const tab = home.tab();
  await pass(0);
  for (const id of ["a", "b"]) home.streams[0]!.message(message(id));
  await pass(0);
  tab.told!.helped();
  tab.told!.broken();
  await pass(PAUSE);
  expect(tab.shown).toBe("b");
});

it("fetches the interface again where it does not come, less and less often", async () => {
  home.unloadable = 3;
  const tab = home.tab();
  await pass(0);
  home.streams[0]!.message(message("a", { expires_in: 10_000_000 }));
  await pass(0);
  await pass(7 * AGAIN - 1);
  expect([tab.loaded.length, tab.shown]).toEqual([3, undefined]);
  await pass(1);
  expect([tab.loaded.length, tab.shown]).toEqual([4, "a"]);
  await pass(100 * AGAIN);
  expect(tab.loaded.length).toBe(4);
});

it("fetches nothing again for a message that is gone", async () => {
  home.unloadable = 99;
  const tab = home.tab();
  await pass(0);
  home.streams[0]!.message(message("a", { expires_in: 60_000 }));
  await pass(100_000);
  const before = tab.loaded.length;
  await pass(3_600_000);
  expect([before > 2, tab.loaded.length]).toEqual([true, before]);
});

const ticked = (told: Told | undefined): string[] => ["1", "2", "3"].filter((step) => told?.ticked(step));

it("keeps what was ticked off for the next page and other tabs, and for nobody else", async () => {
  const [one, two] = [home.tab(), home.tab()];
  const come = async (): Promise<void> => {
    for (const id of ["m", "m1"]) home.streams.at(-1)!.message(message(id));
    await pass(0);
  };
  await pass(0);
  await come();
  for (const [step, on] of [["1", true], ["2", true], ["3", true], ["2", false], ["1", true]] as const) one.told!.tick(step, on);
  await pass(0);
  expect([one, two].map(({ told }) => ticked(told))).toEqual([["1", "3"], ["1", "3"]]);
  home.reload();
  const next = home.tab();
  await pass(0);
  await come();
  expect(ticked(next.told)).toEqual(["1", "3"]);
  next.told!.dismissed();
  next.goes();
  await pass(PAUSE);
  expect([next.shown, ticked(next.told)]).toEqual(["m1", []]);
  next.told!.tick("1", true);
  const late = next.told!;
  home.be({ subject: "somebody else" });
  await pass(0);
  await come();
  expect([next.shown, ticked(next.told)]).toEqual(["m", []]);
  late.tick("2", true);
  expect(ticked(next.told)).toEqual([]);
  home.be({ subject: "u1" });
  await pass(0);
  await come();
  expect(ticked(next.told)).toEqual([]);
});

it("loads nothing while there is nothing to show, and holds back when the page says so", async () => {
  const tab = home.tab();
  await pass(0);
  expect(tab.loaded).toEqual([]);
  tab.suppress(true);
  home.streams[0]!.message(message("m"));
  await pass(0);
  expect(tab.loaded).toEqual([]);
  tab.suppress(false);
  await pass(0);
  expect([tab.loaded, tab.shown]).toEqual([["ui"], "m"]);
  tab.suppress(true);
  expect(tab.shown).toBeUndefined();
});

it.each([
  ["opts out", (tab: ReturnType<Home["tab"]>) => tab.inside.optOut()],
  ["withdraws consent", () => home.choose({ consent: false })],
  ["signs out", () => home.be({ anonymousid: "somebody new" })],
])("who %s sees nothing more, in any tab, and the connection ends", async (_, does) => {
  const [one, two] = [home.tab(), home.tab()];
  await pass(0);
  home.streams[0]!.message(message("m"));
  await pass(0);
  const told = two.told!;
  does(two);
  await pass(0);
  expect([one.shown, two.shown, home.streams[0]!.open]).toEqual([undefined, undefined, false]);
  home.streams[0]!.message(message("late"));
  told.helped();
  await pass(0);
  expect([one.shown, two.shown, two.taken]).toEqual([undefined, undefined, []]);
});

it("withdraws at once what another device stopped", async () => {
  const tab = home.tab();
  await pass(0);
  home.streams[0]!.message(message("m"));
  await pass(0);
  home.streams[0]!.say("withdraw", { everything: true });
  await pass(0);
  expect(tab.shown).toBeUndefined();
});

it("brings a fresh token when one is refused, and resumes where it was", async () => {
  home.tab();
  await pass(0);
  home.streams[0]!.message(message("m"));
  await pass(0);
  home.answer = () => new Response("{}", { status: 401 });
  home.streams[0]!.end();
  await pass(4000);
  expect(home.asked.map(({ refused }) => refused)).toEqual([false, false, true, ...home.asked.slice(3).map(() => true)]);
  home.answer = null;
  await pass(300_000);
  expect(home.streams.at(-1)!.headers).toMatchObject({ authorization: `Bearer t${home.asked.length}`, "last-event-id": "m" });
});

it("waits as long as the server asks, and longer from one failure to the next", async () => {
  home.answer = () => new Response("", { status: 503, headers: { "retry-after": "100" } });
  home.tab();
  await pass(99_000);
  expect(home.requests).toBe(1);
  await pass(2000);
  expect(home.requests).toBe(2);
  home.answer = () => new Response("<html>", { headers: { "content-type": "text/html" } });
  await pass(3_600_000);
  const before = home.requests;
  await pass(3_600_000);
  // By chance, 150 seconds on the average.
  expect(home.requests - before).toBeGreaterThan(8);
  expect(home.requests - before).toBeLessThan(200);
});

it("does not begin anew with a dead server on each page", async () => {
  home.answer = () => Promise.reject(new TypeError("Failed to fetch"));
  for (let page = 0; page < 50; page++) {
    home.tab();
    await pass(1000);
    home.reload();
  }
  expect(home.requests).toBeLessThan(15);
});

it("connects at once on each page of somebody who goes quickly from one to the next", async () => {
  for (let page = 1; page <= 12; page++) {
    home.tab();
    await pass(500);
    expect(home.streams.length).toBe(page);
    home.reload();
  }
});

it("gives up a connection on which nothing comes, not one on which only comments come", async () => {
  home.tab();
  await pass(0);
  for (let n = 0; n < 10; n++) {
    home.streams[0]!.raw(":\n\n");
    await pass(15_000);
  }
  expect(home.streams.length).toBe(1);
  await pass(SILENCE + 10_000);
  expect(home.streams.map(({ open }) => open)).toEqual([false, true]);
});

it("does not wait when the network is back", async () => {
  home.answer = () => Promise.reject(new TypeError("Failed to fetch"));
  const tab = home.tab();
  await pass(60_000);
  home.answer = null;
  tab.window.dispatchEvent(new Event("online"));
  await pass(0);
  expect(home.streams.length).toBe(1);
});

it("asks nothing for somebody who has no source of tokens, and a visitor's again in an hour only", async () => {
  home.token = () => Promise.resolve(undefined);
  home.be({ anonymousid: "a visitor" });
  home.tab();
  await pass(3_000_000);
  expect([home.asked.length, home.requests]).toEqual([1, 0]);
  home.reload();
  home.tab();
  await pass(100_000);
  expect(home.asked.length).toBe(1);
  home.be({ subject: "u1" });
  await pass(0);
  expect(home.asked.length).toBe(2);
});

it("waits for consent; where nothing may be kept, only who asked for help gets any", async () => {
  home = new Home({ consent: "required" });
  const tab = home.tab();
  await pass(1000);
  expect(home.asked.length).toBe(0);
  home.storing = false;
  home.choose({ consent: true });
  await pass(1000);
  expect([home.asked.length, home.stored.size]).toEqual([0, 0]);
  tab.hear("trigger", { topic: "refund", data: {} });
  await pass(0);
  home.streams[0]!.message(message("m"));
  await pass(0);
  expect([tab.shown, home.stored.size]).toEqual(["m", 0]);
});

it("shows what the edge decides, in all tabs and on the next page, and leaves out the server's then", async () => {
  home = new Home({ edge: "key" });
  const [one, two] = [home.tab(), home.tab()];
  await pass(0);
  expect(one.loaded).toEqual(["edge"]);
  two.edge!.leaveOut("p", 60_000);
  two.edge!.show(message("own", { policy: "p", expires_in: 30_000 }));
  home.streams[0]!.message(message("server's"));
  home.streams[0]!.say("current", { ids: [] });
  await pass(0);
  expect([one.shown, two.shown]).toEqual(["own", "own"]);
  home.reload();
  const next = home.tab();
  await pass(20_000);
  home.streams.at(-1)!.message(message("server's later"));
  await pass(0);
  expect(next.shown).toBe("own");
  await pass(10_001);
  expect(next.shown).toBeUndefined();
});

it("goes from every tab when somebody signs out, also where tabs cannot share who it is", async () => {
  home.storing = false;
  const [one, two] = [home.tab(), home.tab()];
  for (const tab of [one, two]) tab.hear("trigger", { topic: "t", data: {} });
  await pass(0);
  home.streams.forEach((stream) => stream.message(message("hers")));
  await pass(0);
  expect([one.shown, two.shown]).toEqual(["hers", "hers"]);
  one.inside.who = () => ({ anonymousid: "v" });
  one.hear("identity", { anonymousid: "v" });
  await pass(0);
  expect([one.shown, two.shown]).toEqual([undefined, undefined]);
  expect(home.streams.slice(0, 2).map(({ open }) => open)).toEqual([false, false]);
  two.hear("identity", { subject: "u1" });
  await pass(0);
  home.streams.at(-1)!.message(message("hers"));
  await pass(0);
  expect(two.shown).toBe("hers");
});

it("has the edge of every tab ask anew how the person stands, when another device stopped everything", async () => {
  home = new Home({ edge: "key" });
  const tabs = [home.tab(), home.tab()];
  await pass(0);
  const before = tabs.map(({ edge }) => edge);
  home.store.set("edge", ["pass of before"]);
  home.streams[0]!.say("withdraw", { interventions: ["i"] });
  await pass(0);
  expect([tabs.map(({ edge }) => edge), home.stored.has("edge")]).toEqual([before, true]);
  home.streams[0]!.say("withdraw", { everything: true });
  await pass(0);
  expect(home.stored.has("edge")).toBe(false);
  tabs.forEach(({ edge }, place) => {
    expect(edge).toBeDefined();
    expect(edge).not.toBe(before[place]);
  });
});

it("gives the connection up with a page that goes, and comes back with it", async () => {
  const tab = home.tab();
  await pass(0);
  home.streams[0]!.message(message("m"));
  await pass(0);
  tab.window.dispatchEvent(new Event("pagehide"));
  expect([tab.shown, home.streams[0]!.open]).toEqual([undefined, false]);
  tab.window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
  await pass(0);
  home.streams[1]!.message(message("m"));
  await pass(0);
  expect(tab.shown).toBe("m");
});

const people: Who[] = [{ subject: "anna" }, { subject: "ben" }, { anonymousid: "visitor one" }, { anonymousid: "visitor two" }];

it("whoever comes and goes in however many tabs, nobody ever sees another's message", () => {
  const act = fc.oneof(
    fc.record({ kind: fc.constant("be" as const), who: fc.constantFrom(...people) }),
    fc.record({ kind: fc.constant("message" as const), number: fc.nat(3) }),
    fc.record({ kind: fc.constant("edge" as const), tab: fc.nat(2) }),
    fc.record({ kind: fc.constantFrom("close" as const, "done" as const, "tick" as const, "broken" as const), tab: fc.nat(2) }),
    fc.record({ kind: fc.constantFrom("open" as const, "reload" as const) }),
    fc.record({ kind: fc.constant("wait" as const), milliseconds: fc.nat(3000) }),
  );
  return fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 25 }), async (acts) => {
      home.end();
      home = new Home({ edge: "key" });
      home.be(people[0]!);
      home.tab();
      let number = 0;
      const look = (): void => {
        for (const { shown } of home.tabs) if (shown) expect(shown.split("/")[0]).toBe(home.name);
        const { of = "", ...kept } = (home.store.get("help") ?? {}) as { of?: string };
        for (const { subject, anonymousid } of people) {
          const whose = subject ?? anonymousid ?? "";
          if (whose !== of.slice(1)) expect(JSON.stringify(kept)).not.toContain(`${whose}/`);
        }
      };
      for (const one of acts) {
        const at = "tab" in one ? home.tabs[one.tab % Math.max(1, home.tabs.length)] : undefined;
        // Every stream, also one that should be gone, carries messages of whom its token was for.
        if (one.kind === "message") home.streams.forEach((stream) => stream.message(message(`${stream.whose}/${one.number}`)));
        if (one.kind === "be") home.be(one.who);
        if (one.kind === "edge") at?.edge?.show(message(`${home.name}/e${(number += 1)}`));
        if (one.kind === "done") at?.told?.dismissed();
        if (one.kind === "done" && one.tab) at?.goes();
        if (one.kind === "tick") at?.told?.tick("1", true);
        if (one.kind === "broken") at?.told?.broken();
        if (one.kind === "close") at?.close();
        if (one.kind === "open") home.tab();
        if (one.kind === "reload") home.reload();
        if (one.kind === "wait") await pass(one.milliseconds);
        await pass(1);
        look();
      }
    }),
    { numRuns: 150 },
  );
});
