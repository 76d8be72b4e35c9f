/** The signals that need not be there from the start: the bundle that `load` fetches when the page is there. */
import { clicks, forms, waits, wandering } from "../detect/index";
import type { Wandering } from "../detect/wandering";
import { watch } from "./interactions";
import type { LateStarts } from "./load";
import { requests } from "./requests";
import { searches } from "./searches";
import { vitals } from "./vitals";

const VISITS = "forestall.visits";

/** Each by its name. */
export const starts: LateStarts = {
  clicks: (page, emit) => watch(page, emit, clicks),
  forms: (page, emit) => watch(page, emit, forms),
  waits: (page, emit) => watch(page, emit, waits),
  /** Circles go through pages that are loaded anew, so the visits of this tab are kept for it. */
  wandering: (page, emit) => {
    const { sessionStorage } = page.window;
    const stop = watch(page, emit, wandering, visits(sessionStorage), (state) => {
      sessionStorage.setItem(VISITS, JSON.stringify(state));
    });
    return () => {
      stop();
      sessionStorage.removeItem(VISITS);
    };
  },
  requests,
  vitals,
  searches,
};

function visits(storage: Storage): Wandering | undefined {
  try {
    const kept = JSON.parse(storage.getItem(VISITS) ?? "null") as Wandering | null;
    return Array.isArray(kept?.visits) && kept.visits.every((one) => Array.isArray(one)) ? kept : undefined;
  } catch {
    return undefined;
  }
}

(globalThis as unknown as Record<symbol, LateStarts>)[Symbol.for("forestall.signals")] = starts;
