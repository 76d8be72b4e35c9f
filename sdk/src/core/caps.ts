/** Hard limits of what the SDK takes of a page. Beyond them it switches itself off. */
import type { Limits } from "../types";

const CPU_WINDOW = 10_000;
const CPU_STRIKES = 3;
const RATE_WINDOW = 60_000;
const NETWORK_WINDOW = 3_600_000;

/** Counts what is used; calls `off` once, with the reason, when a limit is passed. */
export interface Caps {
  /** `fn`, but it never throws, takes no turn once off, and its time is counted. */
  guard: <A extends unknown[]>(fn: (...args: A) => void) => (...args: A) => void;
  /** Whether one more event may be taken; the first too many in a minute is only refused. */
  event: () => boolean;
  /** Counts so many bytes, sent or received; whether that is within the limit. */
  afford: (bytes: number) => boolean;
  /** Whether it is off. */
  isOff: () => boolean;
}

/** `now` is milliseconds, never going back. */
export function caps(limits: Limits, now: () => number, off: (reason: string) => void): Caps {
  const cpu = burden(limits.cpu, now);
  const rate = meter(RATE_WINDOW, limits.rate, now);
  const network = meter(NETWORK_WINDOW, limits.network, now);
  let ending = false;
  let over = false;
  let depth = 0;
  const end = (reason: string): void => {
    if (ending) return;
    ending = true;
    try {
      // Who hears of it still has its turn.
      off(reason);
    } catch {}
    over = true;
  };
  return {
    guard: (fn) => (...args) => {
      if (over) return;
      const began = now();
      depth += 1;
      try {
        fn(...args);
      } catch {
      } finally {
        depth -= 1;
      }
      if (depth === 0 && cpu(now() - began)) end("cpu");
    },
    event: () => !over && rate(1),
    afford: network,
    isOff: () => over,
  };
}

/**
 * Says whether so many milliseconds more are too many: the third window in a row beyond the limit, or
 * one ten times beyond. One alone may be a machine that stood still.
 */
function burden(most: number, now: () => number): (milliseconds: number) => boolean {
  let window = 0;
  let used = 0;
  let strikes = 0;
  return (milliseconds) => {
    const current = Math.floor(now() / CPU_WINDOW);
    if (current !== window) {
      strikes = used > most && current === window + 1 ? strikes + 1 : 0;
      window = current;
      used = 0;
    }
    used += milliseconds;
    return used > 10 * most || (used > most && strikes >= CPU_STRIKES - 1);
  };
}

/** Says whether `amount` more stays within `most` in a window of `length`. */
function meter(length: number, most: number, now: () => number): (amount: number) => boolean {
  let began = now();
  let used = 0;
  return (amount) => {
    if (now() - began >= length) {
      began = now();
      used = 0;
    }
    used += amount;
    return used <= most;
  };
}
