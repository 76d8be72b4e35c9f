/** Wandering in circles: the same pages again and again, shortly, and nothing is done on them. */
import type { Detector } from "../types";

/** Visits of a circle, how many pages it has at least, and how long it takes at most. */
const VISITS = 7;
const PAGES = 3;
const TIME = 180_000;
/** A page where somebody stays longer is read. */
const READ = 20_000;
const MEMORY = 16;

/** Visits since somebody last did something; bounded. */
export interface Wandering {
  visits: readonly (readonly [string, number])[];
  /** When a tab, or the like, was last used: where it leads is no search. */
  tab: number;
}

/** Finds circles. Pages that differ by a number only (of a product, of a list) are one. */
export const wandering: Detector<Wandering> = {
  initial: { visits: [], tab: -1000 },
  step(state, next) {
    switch (next.kind) {
      case "input":
      case "submit":
      case "select":
        return [{ ...state, visits: state.visits.slice(-1) }, []];
      case "click":
        if (next.form) return [{ ...state, visits: state.visits.slice(-1) }, []];
        return [next.target.repeatable ? { ...state, tab: next.at } : state, []];
      case "navigation": {
        const { at } = next;
        const path = next.path.replace(/\d+/g, "*");
        const [here, since = at] = state.visits.at(-1) ?? [];
        if (here === path || at - state.tab < 1000) return [state, []];
        const earlier = at - since > READ ? [] : state.visits;
        const visits = [...earlier, [path, at] as const].filter(([, when]) => at - when < TIME).slice(-MEMORY);
        const circle = loops(visits.map(([name]) => name));
        if (!circle) return [{ ...state, visits }, []];
        const seconds = Math.round((at - (visits[0]?.[1] ?? at)) / 1000);
        const data = { pages: new Set(visits.map(([name]) => name)).size, seconds, loops: circle };
        return [{ ...state, visits: [] }, [{ type: "client.wandering", data }]];
      }
      default:
        return [state, []];
    }
  },
};

/** How often the pages came round, 0 for no circle. A page in between all others (a list) does not count. */
function loops(paths: readonly string[]): number {
  if (paths.length < VISITS) return 0;
  const times = new Map<string, number>();
  for (const path of paths) times.set(path, (times.get(path) ?? 0) + 1);
  const counts = [...times.values()].sort((a, b) => b - a);
  if ((counts[0] ?? 0) > paths.length * 0.4) counts.shift();
  return (counts[0] ?? 0) >= 3 && (counts[PAGES - 1] ?? 0) >= 2 ? (counts[0] ?? 0) : 0;
}
