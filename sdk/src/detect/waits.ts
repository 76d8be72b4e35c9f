/** Long waits: the page is busy, or what somebody clicked on is, and nothing moves. */
import type { Detector, Interaction, Signal } from "../types";

/** Milliseconds. */
const LONG = 6000;
const CAUSED = 1000;
const MEMORY = 20;

interface Wait {
  id: string | number;
  what: string;
  since: number;
}

/** What is waited for; bounded. */
export interface Waits {
  waits: readonly Wait[];
  click: number;
  target: string;
}

/** Finds waits while the page is visible; each is told once. */
export const waits: Detector<Waits> = {
  initial: { waits: [], click: -CAUSED, target: "" },
  step(before, next) {
    const [state, found] = judge(before, next);
    return [step(state, next), found];
  },
};

function step(state: Waits, next: Interaction): Waits {
  const { at } = next;
  switch (next.kind) {
    case "click":
      return { ...state, click: at, target: next.target.name };
    case "request":
      if (next.phase === "end") return without(state, next.id);
      return at - state.click <= CAUSED ? withOne(state, { id: next.id, what: state.target, since: at }) : state;
    case "busy": {
      const id = `busy ${next.what}`;
      return next.on ? withOne(state, { id, what: next.what, since: at }) : without(state, id);
    }
    case "change":
      return { ...state, waits: state.waits.map((one) => (typeof one.id === "string" && one.id.startsWith("busy ") ? one : { ...one, since: at })) };
    case "navigation":
    case "away":
    case "leave":
      return { ...state, waits: [] };
    default:
      return state;
  }
}

const without = (state: Waits, id: string | number): Waits => ({ ...state, waits: state.waits.filter((one) => one.id !== id) });
const withOne = (state: Waits, one: Wait): Waits => ({ ...state, waits: [...without(state, one.id).waits, one].slice(-MEMORY) });

function judge(state: Waits, { at, kind }: Interaction): [Waits, readonly Signal[]] {
  const long = state.waits.filter((one) => at - one.since >= LONG);
  if (!long.length) return [state, []];
  const found = kind === "away" ? [] : long.map(({ what, since }) => ({ type: "client.wait", data: { what, ms: Math.round(at - since) } }));
  return [{ ...state, waits: state.waits.filter((one) => !long.includes(one)) }, found];
}
