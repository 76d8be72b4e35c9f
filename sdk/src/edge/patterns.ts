/** Patterns: how far a person's events have come towards a match. */
import type { Armed, Match, Prefix, Progress, Ref, When } from "./types";
import type { Value } from "./values";

/** An event as patterns see it. */
export interface Now {
  t: number;
  ref: Ref;
  /** The number of the event. */
  serial: number;
  arm: (deadline: number, matched: Ref[]) => Armed;
  /** What a match says of the event: neither true nor false where its condition errors or is no bool. */
  says: (match: Match) => Value | undefined;
  /** Whether the policy's `if` holds. */
  holds: (matched: Ref[]) => boolean;
}

/** Advances a key, in place. Whether the event touched it, and whether it is cleared: by its candidate. */
export function advance({ ordered, positives, gaps, trailing, quiet_for, within = Infinity }: When, state: Progress, now: Now): [touched: boolean, cleared: boolean] {
  const { t, ref, serial, says, holds } = now;
  const hits = positives.map((match) => says(match) === true);
  const forbids = (match?: Match): boolean => !!match && says(match) !== false;
  const last = hits.length - 1;
  const touched = hits.includes(true) || forbids(trailing) || Object.values(gaps).some(forbids);
  if (!ordered) {
    state.b = hits.map((hit, step) => (hit ? [t, [ref], serial] : (state.b[step] ?? null)));
    if (!touched || !state.b.every(Boolean)) return [touched, false];
    const found = [...new Map((state.b as Prefix[]).map((one) => [one[2], one])).values()].sort((a, b) => a[2] - b[2]);
    return [true, t - (found[0] as Prefix)[0] <= within && holds(found.flatMap((one) => one[1]))];
  }
  if (forbids(trailing)) {
    state.b = [];
    state.a = null;
  }
  const best = state.b;
  state.b = hits.slice(1).map((_, place) => (forbids(gaps[place]) ? null : (best[place] ?? null)));
  for (let step = last; step >= 0; step--) {
    const before = best[step - 1];
    if (!hits[step] || (step && !(before && t - before[0] <= within))) continue;
    const found: Prefix = before ? [before[0], [...before[1], ref], 0] : [t, [ref], 0];
    if (step < last) state.b[step] = found;
    else if (trailing) state.a ??= now.arm(t + (quiet_for as number), found[1]);
    else if (holds(found[1])) return [true, true];
  }
  return [touched, false];
}
