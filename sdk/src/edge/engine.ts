/** The engine: an event, or the time, changes what is remembered, and gives decisions. Touches nothing else. */
import type { Data } from "../types";
import { evaluate, type Tree } from "./conditions";
import { arbitrate, refusal, standing } from "./gates";
import { advance } from "./patterns";
import type { Bundle, Decision, Happening, Match, Pass, Policy, Progress, Ref, State } from "./types";
import { isMap, keyText, lift, type Value, type Values } from "./values";
import { KEYS, remember, valueAt } from "./windows";

/** What a step gives; `deadline` is when the next timer is due, `Infinity` without one. */
export interface Step {
  decisions: Decision[];
  deadline: number;
}

const ACTS = 200;
const SAID = /^forestall\.(identify|opt|consent|intervention\.[dh])/;

/** What was said so long before the pass was issued has reached the server. */
const ON_THE_WAY = 300_000_000;

/** What an event of a policy's pattern was taken with: who they were then, and what its conditions saw. */
interface Taken {
  event: Happening;
  names: Values;
}

/** Nothing happened yet. */
export const fresh = (): State => ({ clock: 0, serial: 0, patterns: {}, features: {}, told: [], acts: [] });

/** One event, or without one the time alone, at `now` (microseconds). Changes `state`. */
export function step({ settings, policies, doubles }: Bundle, pass: Pass, state: State, now: number, event?: Happening): Step {
  const decisions: Decision[] = [];
  // Remembered by a clock that was wrong.
  if (state.clock > now + settings.lateness) Object.assign(state, { clock: 0, patterns: {}, features: {} });
  const place = ({ name, when }: Policy): string => name + JSON.stringify(when);
  const keys = (policy: Policy): Progress[] => (state.patterns[place(policy)] ??= []);
  const forget = (policy: Policy, key: Progress): void => {
    state.patterns[place(policy)] = keys(policy).filter((other) => other != key);
  };
  const person = (): Pass => {
    const then = standing(pass, state.told);
    return { ...then, acts: [...then.acts, ...state.acts] };
  };
  const bind = (event: Happening, traits: Data): Values => ({
    event: { ...event, data: lift(event.data, doubles[event.type]) },
    subject: lift(traits),
  });
  const keyOf = (by: Tree | undefined, names: Values): string | null => {
    const value = evaluate(by ?? null, names);
    return value == null ? null : keyText(value);
  };
  const says = ({ types, where = true }: Match, { event: { type }, names }: Taken): Value | undefined =>
    types.includes(type) && evaluate(where, names);

  /** The candidate of a match, where the policy's `if` holds. */
  const candidate = (policy: Policy, key: string | null, matched: Ref[], { event, names }: Taken, at: number): Decision[] => {
    const { traits } = person();
    const features: Record<string, Value> = {};
    for (const [name, feature] of Object.entries(policy.features)) {
      features[name] = valueAt(feature, state.features[JSON.stringify(feature)] ?? [], keyOf(feature.by, names), at);
    }
    return evaluate(policy.if ?? true, { ...bind(event, traits), features }) === true
      ? [{ policy, key, at, outcome: "suppress", reason: null, matched, features, event, traits }]
      : [];
  };
  const decide = (candidates: Decision[]): void => {
    const then = person();
    for (const one of arbitrate(candidates, ({ policy, at }) => refusal(policy, at, settings, then), then.holdout)) {
      decisions.push(one);
      if (one.outcome == "suppress") continue;
      state.acts.push([one.policy.name, one.at, one.reason == "policy_holdout" ? "" : one.policy.budget_class]);
      state.patterns[place(one.policy)] = [];
    }
  };
  const armed = (): { policy: Policy; key: Progress; deadline: number }[] =>
    policies.flatMap((policy) => keys(policy).map((key) => ({ policy, key, deadline: key.a?.d ?? Infinity })));
  const next = (): number => Math.min(...armed().map(({ deadline }) => deadline), Infinity);
  /** Fires all timers before `end`, those of one deadline together. */
  const fire = (end: number): void => {
    for (let at = next(); at < end; at = next()) {
      state.clock = Math.max(state.clock, at);
      const due = armed().filter(({ deadline }) => deadline == at);
      const candidates = due.flatMap(({ policy, key: { k, a } }) => (a ? candidate(policy, k, a.m, { event: a.e, names: bind(a.e, a.s) }, at) : []));
      for (const { policy, key } of due) forget(policy, key);
      decide(candidates);
    }
  };
  const take = (event: Happening): void => {
    const t = (state.clock = Math.max(now, state.clock));
    const serial = state.serial++;
    if (SAID.test(event.type) && isMap(event.data)) state.told.push([event.type, event.data as Data, t]);
    const { traits } = person();
    const taken = { event, names: bind(event, traits) };
    const known: State["features"] = {};
    for (const feature of policies.flatMap(({ features }) => Object.values(features))) {
      const { match, by, value = 0 } = feature;
      const [text, key] = [JSON.stringify(feature), keyOf(by, taken.names)];
      const kept = state.features[text] ?? [];
      const counts = says(match, taken) === true && (by === undefined || key !== null);
      known[text] = counts ? remember(feature, kept, [t, key, evaluate(value, taken.names)]) : kept;
    }
    state.features = known;
    const found: Decision[] = [];
    for (const policy of policies) {
      const { when } = policy;
      const k = keyOf(when.by, taken.names);
      if (when.by !== undefined && k === null) continue;
      const key = keys(policy).find((one) => one.k === k) ?? { k, b: [], a: null };
      const [touched, cleared] = advance(when, key, {
        t,
        serial,
        ref: [event.source, event.id],
        arm: (d, m) => ({ d, m, e: event, s: traits }),
        says: (match) => says(match, taken),
        holds: (matched) => found.length < found.push(...candidate(policy, k, matched, taken, t)),
      });
      if (!touched) continue;
      forget(policy, key);
      if (!cleared && (key.a || key.b.some(Boolean))) state.patterns[place(policy)] = [...keys(policy), key].slice(-KEYS);
    }
    decide(found);
  };

  fire(event ? Math.max(now, state.clock) : now);
  if (event) take(event);
  state.acts = state.acts.slice(-ACTS);
  state.told = state.told.filter((one) => one[2] > pass.issued - ON_THE_WAY);
  state.patterns = Object.fromEntries(policies.map((policy) => [place(policy), keys(policy)]));
  return { decisions, deadline: next() };
}
