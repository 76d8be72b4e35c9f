/** Rage, dead and error clicks: somebody clicks, and the page does not answer, or answers with an error. */
import type { Detector, Interaction, Signal, Target } from "../types";

/** Milliseconds: between the clicks of one burst; until a page has answered, and a request; until an error is no answer. */
const GAP = 1000;
const ANSWER = 5000;
const REQUEST = 30_000;
const ERROR = 1000;
/** Clicks make a rage on what can be clicked, and on what cannot. */
const RAGE = 3;
const RAGE_ELSEWHERE = 4;
/** How long a control that answered is known to work. */
const WORKS = 15_000;
/** A change that nobody caused: so long after everything else; it answers only what is so young. */
const SPONTANEOUS = 2000;
const PROMPT = 100;
const KEY_REPEAT = 80;
const MEMORY = 20;

type Click = Extract<Interaction, { kind: "click" }>;
type Place = string | number;

interface Burst {
  target: Target;
  x: number;
  y: number;
  first: number;
  last: number;
  clicks: number;
  /** How many of them were answered. */
  answered: number;
  failed: boolean;
  /** A request of it ended well, though nothing may have shown. */
  served: boolean;
}

/** What is remembered of clicks; bounded. */
export interface Clicks {
  bursts: readonly Burst[];
  /** Targets that answered, and when. */
  works: readonly (readonly [string, number])[];
  /** Requests under way that a click began. */
  requests: readonly (readonly [Place, number])[];
  /** Places that change by themselves, and errors that come by themselves. */
  noise: readonly (readonly [Place, number])[];
  /** When somebody or a request last did something, and when a click's request last ended. */
  cause: number;
  ended: number;
}

const bound = <T>(all: readonly T[]): readonly T[] => all.slice(-MEMORY);

/** Finds rage, dead and error clicks. */
export const clicks: Detector<Clicks> = {
  initial: { bursts: [], works: [], requests: [], noise: [], cause: -SPONTANEOUS, ended: -GAP },
  step(before, next) {
    const [state, found] = settle(before, next);
    switch (next.kind) {
      case "click":
        return [clicked(state, next), found];
      case "change":
        return [changed(state, next.at, next.where), found];
      case "error":
        return failed(noted(state, `!${next.message}`, next.at), next.at, ERROR, found, `!${next.message}`);
      case "request":
        return requested(state, next, found);
      case "input":
      case "enter":
        return [{ ...answered(state, next.at), cause: next.at }, found];
      case "scroll":
      case "select":
      case "focus":
      case "invalid":
      case "submit":
      case "away":
      case "busy":
      case "navigation":
        return [answered(state, next.at), found];
      case "leave":
        return [{ ...state, bursts: [] }, found];
      default:
        return [state, found];
    }
  },
};

function clicked(state: Clicks, next: Click): Clicks {
  const { target, at, x, y, pointer } = next;
  const last = state.bursts.at(-1);
  if (pointer === "script") return state;
  const same = last !== undefined && last.target.name === target.name && at - last.last <= GAP &&
    (pointer === "keyboard" || Math.abs(x - last.x) + Math.abs(y - last.y) < 60);
  if (same && pointer === "keyboard" && at - last.last < KEY_REPEAT) {
    return { ...state, cause: at, bursts: [...state.bursts.slice(0, -1), { ...last, last: at }] };
  }
  const burst = same
    ? { ...last, last: at, clicks: last.clicks + 1 }
    : { target, x, y, first: at, last: at, clicks: 1, answered: 0, failed: false, served: false };
  return { ...state, cause: at, bursts: bound([...(same ? state.bursts.slice(0, -1) : state.bursts), burst]) };
}

/** The page showed something: all that was clicked has its answer, but for what the latest click explains. */
function answered(state: Clicks, at: number): Clicks {
  const within = at - state.ended <= GAP ? REQUEST : ANSWER;
  const latest = state.bursts.at(-1);
  if (!latest) return state;
  const explained = at - latest.last <= GAP;
  const hit = (one: Burst): boolean => at - one.last <= within && (!explained || one.target.name === latest.target.name);
  const working = state.bursts.filter(hit).map((one) => [one.target.name, at] as const);
  return {
    ...state,
    works: bound([...state.works.filter(([name]) => !working.some(([other]) => other === name)), ...working]),
    bursts: state.bursts.map((one) => (hit(one) ? { ...one, answered: one.clicks } : one)),
  };
}

function changed(state: Clicks, at: number, where: Place | undefined): Clicks {
  if (where === undefined) return answered(state, at);
  const known = noted(state, where, at);
  if (!isNoise(known, where)) return answered(known, at);
  const latest = known.bursts.at(-1);
  if (!latest || at - latest.last > PROMPT) return known;
  const bursts = [...known.bursts.slice(0, -1), { ...latest, answered: Math.min(latest.answered + 1, latest.clicks) }];
  return { ...known, bursts };
}

/** Counts what happens at a place while nobody did anything. */
function noted(state: Clicks, where: Place, at: number): Clicks {
  if (at - state.cause < SPONTANEOUS || state.requests.length) return state;
  const times = state.noise.find(([place]) => place === where)?.[1] ?? 0;
  return { ...state, noise: bound([...state.noise.filter(([place]) => place !== where), [where, times + 1]]) };
}

const isNoise = (state: Clicks, where: Place): boolean =>
  state.noise.some(([place, times]) => place === where && times > 1);

/** Something went wrong at `at`: whose click was it? */
function failed(
  state: Clicks, at: number, within: number, found: readonly Signal[], what?: string,
): readonly [Clicks, readonly Signal[]] {
  const latest = state.bursts.at(-1);
  if (!latest || latest.failed || at - latest.last > within || (what && isSpontaneous(state, what))) return [state, found];
  const bursts = [...state.bursts.slice(0, -1), { ...latest, failed: true }];
  return [{ ...state, bursts }, [...found, signal("error", latest, at)]];
}

const isSpontaneous = (state: Clicks, what: Place): boolean => state.noise.some(([place]) => place === what);

function requested(
  state: Clicks, next: Extract<Interaction, { kind: "request" }>, found: readonly Signal[],
): readonly [Clicks, readonly Signal[]] {
  const { at, id, phase, status = 200 } = next;
  const latest = state.bursts.at(-1);
  if (phase === "start") {
    if (!latest || at - latest.last > ERROR) return [state, found];
    return [{ ...state, requests: bound([...state.requests, [id, at]]) }, found];
  }
  const own = state.requests.find(([one]) => one === id);
  const rest = { ...state, cause: at, requests: state.requests.filter(([one]) => one !== id) };
  if (!own || !latest) return [rest, found];
  const ended = { ...rest, ended: at };
  if (!status || status >= 500) return failed(ended, at, REQUEST, found);
  return [{ ...ended, bursts: [...rest.bursts.slice(0, -1), { ...latest, served: true }] }, found];
}

/** What has waited long enough is judged. */
function settle(state: Clicks, next: Interaction): [Clicks, readonly Signal[]] {
  if (!state.bursts.length) return [state, []];
  const { at } = next;
  const latest = state.bursts.at(-1);
  const requests = state.requests.filter(([, began]) => at - began < REQUEST);
  const due = (one: Burst): boolean => at - one.last > ANSWER && !(one === latest && (requests.length || at - state.ended <= GAP));
  const judged = state.bursts.filter(due);
  if (!judged.length) return [{ ...state, requests }, []];
  const found = judged.flatMap((one) => judge(one, state, at));
  return [{ ...state, requests, bursts: state.bursts.filter((one) => !due(one)) }, found];
}

function judge(one: Burst, state: Clicks, at: number): Signal[] {
  const { target, clicks, failed } = one;
  const worked = state.works.some(([name, when]) => name === target.name && at - when < WORKS);
  if (failed || worked || target.repeatable || one.answered * 2 >= clicks) return [];
  if (clicks >= (target.interactive ? RAGE : RAGE_ELSEWHERE)) return [signal("rage", one, one.last)];
  return target.interactive && !one.served ? [signal("dead", one, at)] : [];
}

const signal = (what: string, { target, clicks, first }: Burst, at: number): Signal => ({
  type: `client.click.${what}`,
  data: { target: target.name, clicks, ms: Math.round(at - first) },
});
