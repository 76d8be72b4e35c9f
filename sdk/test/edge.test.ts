import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { evaluate, type Tree } from "../src/edge/conditions";
import { fresh, step as steps } from "../src/edge/engine";
import { open } from "../src/edge/signed";
import type { Bundle, Decision, Happening, Pass, State } from "../src/edge/types";
import { type Doubles, keyText, lift, read, type Value, type Values, write } from "../src/edge/values";
import { render } from "../src/edge/words";
import type { Data, Json } from "../src/types";

const START = Date.parse("2024-05-01T12:00:00Z") * 1000;
const UNITS: Record<string, number> = { ms: 1000, s: 1e6, m: 6e7, h: 3.6e9 };
const TYPES: Record<string, string> = { int: "bigint", double: "number", bool: "boolean", string: "string" };

interface Case {
  name: string;
  events: { at: string; type: string; data?: Data }[];
  until?: string;
  expect: Data | { at: string; matched: number[]; policy?: string; key?: string; outcome?: string; reason?: string; features?: Data }[];
}
interface Condition {
  name: string;
  data?: Data;
  traits?: Data;
  features?: Data;
  doubles?: never;
  type?: string;
  value?: Json;
  error?: boolean;
}

const load = <T>(name: string): T => JSON.parse(readFileSync(new URL(`../../spec/vectors/${name}.json`, import.meta.url), "utf8")) as T;
const cases = <T>(name: string): T[] => load<{ cases: T[] }>(name).cases;
const compiled = load<Record<string, Record<string, { bundle: Bundle; pass: Pass }>>>("compiled");
const micros = (text: string): number => {
  const [, amount, unit] = /^(\d+)(\w+)$/.exec(text) ?? [];
  return START + Number(amount) * (UNITS[unit ?? ""] ?? NaN);
};

/** A step from what a device kept, empty at first, to what it keeps then. */
function step(bundle: Bundle, pass: Pass, text: string, now: number, event?: Happening): ReturnType<typeof steps> & { text: string } {
  const state = text ? (read(text) as State) : fresh();
  return { ...steps(bundle, pass, state, now, event), text: write(state) };
}

/** The decisions of a history, from one step to the next through the text that a device keeps. */
function decisions({ bundle, pass }: { bundle: Bundle; pass: Pass }, happened: { at: number; event?: Happening }[]): Decision[] {
  let text = "";
  return happened.flatMap(({ at, event }) => {
    const made = step(bundle, pass, text, at, event);
    text = made.text;
    return made.decisions;
  });
}
const event = (id: number, type: string, data: Data = {}): Happening => ({ id: String(id), source: "/web/device", type, origin: "browser", data });

describe.each(["patterns", "features", "timers", "gates"])("the vectors of %s", (file) => {
  it.each(cases<Case>(file).map((one) => [one.name, one] as const))("%s", (name, one) => {
    const happened = one.events.map(({ at, type, data }, id) => ({ at: micros(at), event: event(id, type, data) }));
    const end = { at: micros(one.until ?? one.events.at(-1)!.at) };
    const made = decisions(compiled[file]![name]!, [...happened, end]);
    const last = one.events.length - 1;
    const wanted = Array.isArray(one.expect) ? one.expect : [{ at: one.events[last]!.at, matched: [last], features: one.expect }];
    expect(made.map(({ policy, key, at, outcome, reason, matched }) => [policy.name, key, at, outcome, reason, matched])).toEqual(
      wanted.map(({ policy = "p", key = null, at, outcome = "intervene", reason = null, matched }) => [
        policy, key, micros(at), outcome, reason, matched.map((id) => ["/web/device", String(id)]),
      ]),
    );
    made.forEach(({ features }, place) => {
      for (const [feature, value] of Object.entries(wanted[place]!.features ?? {})) {
        expect(keyText(features[feature] as Value)).toBe(keyText(lift(value)));
      }
    });
  });
});

describe("the vectors of conditions", () => {
  it.each(cases<Condition>("conditions").map((one) => [one.name, one] as const))("%s", (name, one) => {
    const tree = (compiled["conditions"] as unknown as Record<string, Tree>)[name]!;
    const { data = {}, traits = {}, features = {}, doubles } = one;
    const names = { event: { data: lift(data, doubles) }, subject: lift(traits), features: lift(features) } as Values;
    const made = evaluate(tree, names);
    if (one.error) return expect(made).toBeUndefined();
    expect(typeof made).toBe(TYPES[one.type!] ?? "object");
    // JSON.parse reads the largest int as the double next to it; the text of the other is exact.
    if (name === "the largest int is still one") expect(made).toBe(9223372036854775807n);
    else expect(keyText(made!)).toBe(keyText(lift(one.value!)));
  });
});

it.each(["constructor", "length", "valueOf", "__proto__", "plain"])("a field called %s is a double where the contract says so, and only there", (name) => {
  const data = JSON.parse(`{"${name}": {"${name}": 1, "length": 1}}`) as Data;
  const lifted = (doubles?: Doubles): string => write(lift(data, doubles) as Values);
  const ints = write(JSON.parse(`{"${name}": {"${name}": "x", "length": "x"}}`) as Values).replaceAll('"x"', '"\\u00011"');
  const none = {} as Record<string, Doubles>;
  for (const doubles of [undefined, none, none[name], { [`${name}s`]: true as const }, true as const]) expect(lifted(doubles)).toBe(ints);
  expect(lifted({ "*": { "*": true } })).toBe(JSON.stringify(data));
  expect(lifted(JSON.parse(`{"${name}": {"${name}": true, "length": true}}`) as Doubles)).toBe(JSON.stringify(data));
});

describe("the vectors of templates", () => {
  it.each(cases<{ name: string; template: string; data?: Data; traits?: Data; features?: Data; text?: string }>("templates").map((one) => [one.name, one] as const))(
    "%s",
    (_, { template, data = {}, traits = {}, features = {}, text }) => {
      const fill = (): string => render(template, { event: event(0, "e.a", data), traits, features: lift(features) as Values });
      if (text === undefined) expect(fill).toThrow();
      else expect(fill()).toBe(text);
    },
  );
});

describe("the vectors of signatures", () => {
  it.each(cases<{ name: string; key: string; typ: string; jws: string; payload?: Data }>("signatures").map((one) => [one.name, one] as const))(
    "%s",
    async (_, { key, typ, jws, payload }) => {
      const read = open<Data>(key, typ.replace("forestall-edge-", ""), jws);
      if (payload) expect(await read).toEqual(payload);
      else await expect(read).rejects.toBeDefined();
    },
  );
});

describe("the state as text", () => {
  it("gives back what was written", () => {
    const state = { a: [1, 2n, -(2n ** 63n), 0.5, "x", "\u00015", "\u0001", null, true], b: { c: 10n ** 19n }, d: Infinity };
    expect(read(write(state))).toEqual(state);
    expect(Number.isNaN((read(write({ n: NaN })) as { n: number }).n)).toBe(true);
  });

  const [rules] = Object.values(compiled["timers"]!);
  it("begins anew where the clock was set back", () => {
    const armed = step(rules!.bundle, rules!.pass, "", START + 3.6e9, event(0, "e.a"));
    expect(armed.deadline).toBe(START + 3.6e9 + 5e6);
    const back = step(rules!.bundle, rules!.pass, armed.text, START, event(1, "e.a"));
    expect(back.deadline).toBe(START + 5e6);
    expect(step(rules!.bundle, rules!.pass, back.text, START + 6e6).decisions.map(({ at }) => at)).toEqual([START + 5e6]);
  });
  it("forgets policies that are gone", () => {
    const armed = step(rules!.bundle, rules!.pass, "", START, event(0, "e.a"));
    const later = step({ ...rules!.bundle, policies: [] }, rules!.pass, armed.text, START + 1);
    expect(later.deadline).toBe(Infinity);
    expect(later.text).not.toContain("e.a");
  });
});

describe("what somebody says of their standing", () => {
  it.each(["constructor", "__proto__", "toString"])("is about a policy, also if that is called %s", (policy) => {
    const [{ bundle, pass }] = Object.values(compiled["timers"]!) as [{ bundle: Bundle; pass: Pass }];
    const said = { ...event(0, "forestall.intervention.dismissed"), data: { policy, purpose: policy } };
    const { text } = step(bundle, pass, "", START, said);
    const armed = step(bundle, pass, text, START + 1e6, event(1, "e.a"));
    expect(step(bundle, pass, armed.text, START + 7e6).decisions.map(({ outcome }) => outcome)).toEqual(["intervene"]);
    expect(({} as Record<string, unknown>)["never"]).toBeUndefined();
  });
});

describe("devices that cannot see each other", () => {
  const [name, rules] = Object.entries(compiled["gates"]!).find(([, { bundle }]) => bundle.policies.length === 1 && !bundle.settings.require_consent)!;
  it.each([1, 2, 3, 5])(`with %i of them a budget of n is exceeded by at most (k-1)·n (${name})`, (devices) => {
    for (const budget of [1, 2, 3]) {
      const [policy] = rules.bundle.policies;
      const bundle = {
        ...rules.bundle,
        settings: { ...rules.bundle.settings, budget, budget_window: 86_400e6, spacing: 0 },
        policies: [{ ...policy!, cooldown: 1 }],
      };
      const texts = Array.from({ length: devices }, () => "");
      let shown = 0;
      for (let turn = 0; turn < 40 * devices; turn++) {
        const device = (turn * 7) % devices;
        const made = step(bundle, rules.pass, texts[device]!, START + turn * 1e6, event(turn, "e.a"));
        texts[device] = made.text;
        shown += made.decisions.filter(({ outcome }) => outcome === "intervene").length;
      }
      // It is reached, so the bound is the best there is: each device spends the whole budget.
      expect(shown).toBe(devices * budget);
      expect(shown - budget).toBeLessThanOrEqual((devices - 1) * budget);
    }
  });
  it("what one pass tells of the others' acts is counted", () => {
    const [policy] = rules.bundle.policies;
    const bundle = { ...rules.bundle, settings: { ...rules.bundle.settings, budget: 2, budget_window: 86_400e6 }, policies: [{ ...policy!, cooldown: 1 }] };
    const pass: Pass = { ...rules.pass, acts: [["", START - 3e6, "guidance"], ["", START - 2e6, "guidance"], ["", START - 1e6, ""]] };
    const made = step(bundle, pass, "", START, event(0, "e.a"));
    expect(made.decisions.map(({ reason }) => reason)).toEqual(["budget"]);
    expect(step(bundle, { ...pass, acts: pass.acts.slice(1) }, "", START, event(0, "e.a")).decisions[0]!.outcome).toBe("intervene");
  });
});
