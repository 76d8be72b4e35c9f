/** The signals that need not be there from the start: the bundle that `load` fetches when the page is there. */
import { clicks, forms, waits, wandering } from "../detect/index";
import type { Wandering } from "../detect/wandering";
import type { Detector, Start } from "../types";
import { watch } from "./interactions";
import { later, type LateStarts } from "./load";
import { requests } from "./requests";
import { searches } from "./searches";

/** The bundle's hash; filled in by the build. */
declare const VITALS_INTEGRITY: string;

const VISITS = "forestall.visits";

/** With whose they are: marks of the visitor's id and of the user's, 0 for none. */
interface Visits extends Wandering {
  of?: readonly [number, number];
}

/** Each by its name. */
export const starts: LateStarts = {
  clicks: (page, emit) => watch(page, emit, clicks),
  forms: (page, emit) => watch(page, emit, forms),
  waits: (page, emit) => watch(page, emit, waits),
  /** Circles go through pages that are loaded anew, so the visits of this tab are kept for it; of one person only. */
  wandering: (page, emit, { host }) => {
    const { sessionStorage, localStorage } = page.window;
    const id = (name: string): number => mark(localStorage.getItem(`forestall.${host}.${name}`) ?? "");
    const one: Detector<Visits> = {
      initial: wandering.initial,
      step: (state, next) => {
        const of = [id("visitor"), id("subject")] as const;
        const [visitor, subject] = state.of ?? of;
        // A visitor who signs in is the same person.
        const same = of[0] === visitor && (of[1] === subject || !subject);
        const [after, found] = wandering.step(same ? state : wandering.initial, next);
        return [after === state && same && of[1] === subject && state.of ? state : { ...after, of }, found];
      },
    };
    const stop = watch(page, emit, one, visits(sessionStorage), (state) => {
      sessionStorage.setItem(VISITS, JSON.stringify(state));
    });
    return () => {
      stop();
      sessionStorage.removeItem(VISITS);
    };
  },
  requests,
  /** A library of its own, which most of a page's trouble needs not. */
  vitals: (page, emit, settled) => later<Start>(page, "vitals", VITALS_INTEGRITY, (vitals) => vitals(page, emit, settled)),
  searches,
};

/** Tells ids apart; they cannot be read from it. */
function mark(id: string): number {
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + letter.charCodeAt(0)) | 0;
  return sum;
}

function visits(storage: Storage): Visits | undefined {
  try {
    const kept = JSON.parse(storage.getItem(VISITS) ?? "null") as Visits | null;
    return kept && [kept.of, kept.visits, ...kept.visits].every(Array.isArray) ? kept : undefined;
  } catch {
    return undefined;
  }
}

(globalThis as unknown as Record<symbol, LateStarts>)[Symbol.for("forestall.signals")] = starts;
