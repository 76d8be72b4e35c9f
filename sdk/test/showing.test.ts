import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse, type Told } from "../src/help/parse";
import { fresh, type Input, KNOWN, type State, step, visible } from "../src/help/showing";
import type { Message } from "../src/help/types";

const message = (id: string, more: Partial<Message> = {}): Message => ({
  id, intervention: `i${id}`, policy: "p", title: "t", body: "b", why: "w", expires_in: 1000, ...more,
});
const come = (id: string, more: Partial<Message> = {}, local = false): Input => ({ kind: "message", message: message(id, more), local });
const after = (inputs: readonly Input[], now = 0, from: State = fresh("u", false)): State =>
  inputs.reduce((state, input) => step(state, input, now), from);
const shown = (state: State, now = 0): string | undefined => visible(state, now)?.id;

describe("which message is shown", () => {
  it("shows one at a time, in order", () => {
    let state = after([come("a"), come("b"), come("c")]);
    const order: (string | undefined)[] = [];
    for (let n = 0; n < 4; n++) {
      order.push(shown(state));
      state = after([{ kind: "done", id: shown(state) ?? "" }], 0, state);
    }
    expect(order).toEqual(["a", "b", "c", undefined]);
  });

  it("takes away what expired, and never what does not", () => {
    const state = after([come("a", { expires_in: 10 }), { kind: "message", message: { ...message("b"), expires_in: Infinity }, local: true }]);
    expect(shown(state, 9)).toBe("a");
    expect(shown(state, 10)).toBe("b");
    expect(after([{ kind: "tick" }], 10, state).open.length).toBe(1);
    expect(shown(after([come("late", { expires_in: 0 })]))).toBeUndefined();
  });

  it("keeps what the stream says still holds, and what the device made itself", () => {
    const state = after([come("a"), come("b"), come("own", {}, true), { kind: "current", ids: ["b"] }]);
    expect(state.open.map(({ message }) => message.id)).toEqual(["b", "own"]);
  });

  it("withdraws an intervention, or everything", () => {
    const both = after([come("a"), come("b"), come("own", {}, true)]);
    expect(shown(after([{ kind: "withdraw", everything: false, interventions: ["ia"] }], 0, both))).toBe("b");
    expect(after([{ kind: "withdraw", everything: true, interventions: [] }], 0, both).open).toEqual([]);
  });

  it("does not add, but prolongs, what it shows already", () => {
    const state = after([come("a", { expires_in: 10 }), come("b"), come("a", { expires_in: 50 })]);
    expect([shown(state, 40), state.open.length]).toEqual(["a", 2]);
  });

  it("leaves out the server's messages of a policy that was decided here, for as long as that says", () => {
    const here = after([{ kind: "leaveOut", policy: "p", milliseconds: 100 }]);
    expect(shown(after([come("a")], 99, here), 99)).toBeUndefined();
    expect(shown(after([come("own", {}, true)], 99, here), 99)).toBe("own");
    expect(shown(after([come("other", { policy: "q" })], 99, here), 99)).toBe("other");
    expect(shown(after([come("a")], 100, here), 100)).toBe("a");
  });

  it("learns from the tab with the connection what is open", () => {
    const state = after([come("gone"), come("own", {}, true), { kind: "whole", open: [{ message: message("a"), local: false }] }]);
    expect(state.open.map(({ message }) => message.id)).toEqual(["own", "a"]);
  });

  it("is not changed by what a tab with another version tells", () => {
    const state = step(fresh("s1", false), { kind: "message", message: message("a"), local: false }, 0);
    expect(step(state, { kind: "of a later version" } as unknown as Input, 1)).toEqual(state);
  });
  it("passes over what this page cannot show, also when it is told anew, and says what is ticked", () => {
    const state = after([come("a"), come("b"), { kind: "broken", id: "a" }, { kind: "broken", id: "z" }, come("a", { expires_in: 70 })]);
    expect([shown(state), state.open.length]).toEqual(["b", 2]);
    const tick = (step: string, on: boolean): Input => ({ kind: "mark", mark: `a ${step}`, on });
    expect(after([tick("1", true), tick("2", true), tick("1", true), tick("2", false)]).marks).toEqual(["a 1"]);
  });
  it("remembers only so many", () => {
    const ids = Array.from({ length: KNOWN + 5 }, (_, n) => String(n));
    expect(after(ids.map((id) => ({ kind: "mark", mark: id, on: true }))).marks.length).toBe(KNOWN);
    const state = after(ids.map((id) => ({ kind: "done", id })));
    expect([state.done.length, state.done.at(-1)]).toEqual([KNOWN, String(KNOWN + 4)]);
  });
});

const ids = fc.constantFrom("a", "b", "c", "d");
const anything: fc.Arbitrary<Input> = fc.oneof(
  fc.record({
    kind: fc.constant("message" as const),
    message: fc.record({ id: ids, policy: fc.constantFrom("p", "q"), in: fc.integer({ min: -5, max: 60 }) })
      .map(({ id, policy, in: expires_in }) => message(id, { policy, expires_in })),
    local: fc.boolean(),
  }),
  fc.record({ kind: fc.constant("current" as const), ids: fc.array(ids) }),
  fc.record({ kind: fc.constant("withdraw" as const), everything: fc.boolean(), interventions: fc.array(ids.map((id) => `i${id}`)) }),
  fc.record({ kind: fc.constantFrom("done" as const, "broken" as const), id: ids }),
  fc.record({ kind: fc.constant("mark" as const), mark: fc.constantFrom("a", "a 1", "b 2"), on: fc.boolean() }),
  fc.record({
    kind: fc.constant("whole" as const),
    open: fc.array(fc.record({ message: ids.map((id) => message(id)), local: fc.boolean() })),
  }),
  fc.record({ kind: fc.constant("hold" as const), held: fc.boolean() }),
  fc.record({ kind: fc.constant("leaveOut" as const), policy: fc.constantFrom("p", "q"), milliseconds: fc.nat(50) }),
  fc.constant({ kind: "tick" as const }),
);
const history = fc.array(fc.tuple(fc.nat(20), anything), { maxLength: 40 });

describe("whatever happens, in any order", () => {
  it("what was closed is never shown again, what expired never, and nothing while held", () =>
    fc.assert(
      fc.property(history, (steps) => {
        let state = fresh("u", false);
        let now = 0;
        const closed = new Set<string>();
        for (const [wait, input] of steps) {
          now += wait;
          state = step(state, input, now);
          if (input.kind === "done") closed.add(input.id);
          const one = visible(state, now);
          if (one) expect(closed.has(one.id)).toBe(false);
          if (state.held) expect(one).toBeUndefined();
          for (const { until, message } of state.open) expect([until > now, closed.has(message.id)]).toEqual([true, false]);
          expect(new Set(state.open.map(({ message }) => message.id)).size).toBe(state.open.length);
        }
      }),
    ));

  it("the one that is shown stays until it is closed, withdrawn or over: none pushes in before it", () =>
    fc.assert(
      fc.property(history, (steps) => {
        let state = fresh("u", false);
        let now = 0;
        for (const [wait, input] of steps) {
          now += wait;
          const before = visible(state, now);
          state = step(state, input, now);
          const one = visible(state, now);
          if (!before || one?.id === before.id || state.held) continue;
          // It went: then it is not waiting behind another one.
          expect(state.open.some(({ message, broken }) => message.id === before.id && !broken)).toBe(false);
        }
      }),
    ));

  it("a tab that hears everything, and one that is told the whole later, show the same", () =>
    fc.assert(
      fc.property(history, (steps) => {
        let leader = fresh("u", false);
        let now = 0;
        for (const [wait, input] of steps) if (input.kind !== "broken") leader = step(leader, input, (now += wait));
        leader = step(leader, { kind: "tick" }, now);
        const open = leader.open.map(({ message, until, local }) => ({ message: { ...message, expires_in: until - now }, local }));
        const later = step(fresh("u", leader.held, leader.done), { kind: "whole", open }, now);
        expect(visible(later, now)?.id).toBe(visible(leader, now)?.id);
      }),
    ));

  it("a state is never changed", () =>
    fc.assert(
      fc.property(history, (steps) => {
        let state = fresh("u", false);
        for (const [now, input] of steps) {
          const before = structuredClone(state);
          const next = step(state, input, now);
          expect(state).toEqual(before);
          state = next;
        }
      }),
    ));
});

describe("the stream's events", () => {
  const all = (pieces: readonly string[]): Told[] => {
    let rest = "";
    return pieces.flatMap((piece) => {
      const parsed = parse(rest, piece);
      rest = parsed.rest;
      return parsed.told;
    });
  };
  it.each([
    ["event: a\ndata: 1\n\n", [{ event: "a", data: "1" }]],
    ["data:1\ndata: 2\n\n", [{ event: "message", data: "1\n2" }]],
    ["retry: 2000\n\n:\n\nid: x\nevent: message\ndata: {}\n\n", [{ event: "message", data: "{}", id: "x" }]],
    ["event: a\r\ndata: 1\r\n\r\nevent: b\rdata: 2\r\r\n", [{ event: "a", data: "1" }, { event: "b", data: "2" }]],
    ["event: none\n\n", []],
    ["data: a: b\n\n", [{ event: "message", data: "a: b" }]],
    ["data: unfinished\n", []],
  ])("%j", (text, told) => expect(all([text])).toEqual(told));

  it("are the same in pieces of any size, with any line ends", () => {
    const line = fc.stringMatching(/^[a-z :{}"é€]{0,12}$/);
    const event = fc.tuple(line, fc.array(line, { minLength: 1, maxLength: 3 }), fc.option(line));
    fc.assert(
      fc.property(fc.array(event, { maxLength: 5 }), fc.constantFrom("\n", "\r\n", "\r"), fc.array(fc.nat(9)), (events, end, cuts) => {
        const text = events
          .map(([name, data, id]) => [`event: ${name}`, ...data.map((one) => `data: ${one}`), ...(id === null ? [] : [`id: ${id}`]), "", ""].join(end))
          .join(":" + end + end) + end;
        const pieces: string[] = [];
        let at = 0;
        for (const cut of cuts) pieces.push(text.slice(at, (at += cut)));
        pieces.push(text.slice(at));
        expect(all(pieces)).toEqual(all([text]));
        expect(all([text]).length).toBe(events.filter(([, data]) => data.join("\n")).length);
      }),
    );
  });
});
