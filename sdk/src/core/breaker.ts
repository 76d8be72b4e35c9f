/** When to try the server again: backoff with full jitter, and a circuit breaker. Pure. */

import type { Json } from "../types";

/** How sending goes. `failures` in a row; nothing is sent before `until` (milliseconds, wall clock). */
export type Breaker = { failures: number; until: number };

/** All is well. */
export const CLOSED: Breaker = { failures: 0, until: 0 };

/** Failures in a row that open the breaker. */
export const OPENS_AT = 5;

/** The breaker that was kept, or one as good as new. */
export function state(kept: Json | undefined): Breaker {
  const { failures, until } = (kept ?? {}) as unknown as Breaker;
  return failures >= 0 && until >= 0 ? { failures, until } : CLOSED;
}

const FIRST = 1000;
const LONGEST = 60_000;
const OPEN = 300_000;
const PATIENCE = 3_600_000;

/** After one more failure at `now`; `chance` is in [0, 1), `asked` what `Retry-After` asked for. */
export function failed(breaker: Breaker, now: number, chance: number, asked = 0): Breaker {
  const failures = breaker.failures + 1;
  const backoff = chance * Math.min(LONGEST, FIRST * 2 ** Math.min(failures, 16));
  const wait = failures < OPENS_AT ? backoff : OPEN * (1 + chance);
  return { failures, until: now + Math.max(wait, Math.min(asked, PATIENCE)) };
}

/** Whether something may be sent now. A clock that was set back does not hold it for longer than an hour. */
export function mayTry(breaker: Breaker, now: number): boolean {
  return now >= breaker.until || breaker.until - now > PATIENCE;
}

/** Whether the next request is a probe: one event only. */
export function isProbe(breaker: Breaker): boolean {
  return breaker.failures >= OPENS_AT;
}

/** Milliseconds that a `Retry-After` asks for: seconds or a date; 0 where it is none. */
export function retryAfter(header: string | null, now: number): number {
  if (!header) return 0;
  const seconds = Number(header);
  const wait = Number.isNaN(seconds) ? Date.parse(header) - now : seconds * 1000;
  return wait > 0 ? wait : 0;
}
