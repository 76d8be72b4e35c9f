/**
 * The detectors: pure functions from what happens between a person and a page to what is trouble.
 *
 * Each is a state and a step (see `Detector`); nothing here touches a browser. `signals/` turns
 * what a browser says into interactions; `test/traces` holds recorded ones with their labels.
 */
import type { Detector, Interaction, Signal } from "../types";
import { clicks } from "./clicks";
import { forms } from "./forms";
import { waits } from "./waits";
import { wandering } from "./wandering";

export { clicks, forms, waits, wandering };

/** Feeds one detector, from `state` on; gives what it finds. `keep` is told every new state. */
export function watcher<State>(
  detector: Detector<State>,
  state = detector.initial,
  keep: (state: State) => void = () => undefined,
): (next: Interaction) => readonly Signal[] {
  return (next) => {
    const [after, found] = detector.step(state, next);
    if (after !== state) keep((state = after));
    return found;
  };
}
