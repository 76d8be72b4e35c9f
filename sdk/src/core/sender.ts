/** Empties the queue into the gateway, in order, as gently as the breaker says. */
import { CLOSED, type Breaker, failed, isProbe, mayTry, state } from "./breaker";
import type { Passes } from "./identity";
import type { Entry, Queue } from "./queue";
import type { Storage } from "./storage";
import { type Ask, MOST, cut, isControl, post } from "./transport";

/** What a sender needs. */
export interface Means {
  ask: Ask;
  queue: Queue;
  passes: Passes;
  /** Where the breaker is kept: pages that are loaded again and again do not hammer a dead server. */
  store: Storage;
  /** Whether this tab sends, the person allows it, and there is a chance that it works. */
  may: () => boolean;
  lost: (events: number) => void;
  /** Wall clock, milliseconds. */
  now: () => number;
  /** In [0, 1). */
  chance: () => number;
}

/** Sends for one tab. */
export interface Sender {
  /** Sends what waits; resolves when that is done or has to wait. Never rejects. */
  flush: () => Promise<void>;
  /** The network is back: does not wait out a backoff. */
  online: () => void;
  /** Whether the last request worked. */
  well: () => boolean;
}

/** The name of the breaker in the storage. */
export const BREAKER = "breaker";
/** The name of `clock` in the storage. */
export const CLOCK = "clock";
const WRONG = 30_000;
const TRIES_WITHOUT_TOKEN = 5;
/** What must not be lost while tokens cannot be had: who said no is heard, and what was decided here is not decided again. */
const WAITS = /out$|withdrawn$|decided$/;

/** Milliseconds that the server's clock is ahead of the device's, where that is wrong by much. */
export const clock = (store: Storage): number => Number(store.get(CLOCK) ?? 0);

/** A sender; it does nothing until `flush`. */
export function sender(means: Means): Sender {
  const { queue, passes, now, store } = means;
  const breaker = (): Breaker => state(store.get(BREAKER));
  const became = (next: Breaker): void => store.set(BREAKER, next);
  let due = false;
  let running: Promise<void> | null = null;
  let again = false;
  let most = MOST;
  let tokenless = 0;
  const reproved = new Set<string>();

  /** Goes on when the breaker lets it. */
  const rest = (): false => {
    if (!due) {
      due = true;
      setTimeout(() => {
        due = false;
        void flush();
      }, breaker().until - now() + 1);
    }
    return false;
  };
  /** One more failure, where it is one of the server's: offline, or refused for good, nothing is tried again. */
  const fail = (wait: number): false => {
    if (!means.may()) return false;
    became(failed(breaker(), now(), means.chance(), wait));
    return rest();
  };
  const drop = async (entries: readonly Entry[]): Promise<true> => {
    await queue.remove(entries);
    if (entries.length) means.lost(entries.length);
    return true;
  };

  /** One request; whether to go on. */
  async function step(): Promise<boolean> {
    if (!means.may()) return false;
    if (!mayTry(breaker(), now())) return rest();
    const size = isProbe(breaker()) ? 1 : most;
    const { batch, proof } = cut(await queue.first(size), size);
    if (!batch.length || !means.may()) return false;
    let token: string | null = null;
    if (proof) {
      const pass = await passes.get(proof, batch.some(({ id }) => reproved.has(id)));
      if (!means.may()) return false;
      if (!pass) {
        tokenless += 1;
        if (pass === null && (tokenless < TRIES_WITHOUT_TOKEN || batch.some(({ type }) => WAITS.test(type)))) return fail(0);
        tokenless = 0;
        return drop(batch.filter(isControl));
      }
      token = pass;
    }
    const answer = await post(means.ask, batch, token, now, (time) => {
      const ahead = time - now();
      // A second is as fine as it is told, and the way takes time.
      if (Math.abs(ahead - clock(store)) > WRONG) store.set(CLOCK, Math.abs(ahead) > WRONG ? ahead : 0);
    });
    if (typeof answer === "number") return fail(answer);
    if (breaker().failures) became(CLOSED);
    if (answer === "smaller") {
      if (batch.length === 1) return drop(batch);
      most = Math.ceil(batch.length / 2);
      return true;
    }
    most = MOST;
    tokenless = 0;
    return settleWith(batch, answer);
  }

  /** Taken, quarantined: done. Refused for its token: once more, with a fresh one. */
  async function settleWith(batch: readonly Entry[], codes: readonly (string | null)[]): Promise<true> {
    const retried = batch.filter(({ id }, place) => codes[place]?.startsWith("subject-token-") && !reproved.has(id));
    const hopeless = codes.filter((code) => code !== null).length - retried.length;
    batch.forEach(({ id }) => reproved.delete(id));
    retried.forEach(({ id }) => reproved.add(id));
    await queue.remove(batch.filter((entry) => !retried.includes(entry)));
    if (hopeless) means.lost(hopeless);
    return true;
  }

  function flush(): Promise<void> {
    again = true;
    running ??= (async () => {
      try {
        while (again) {
          again = false;
          while (await step());
        }
      } catch {
        fail(0);
      } finally {
        running = null;
      }
    })();
    return running;
  }
  return {
    flush,
    online() {
      became({ ...breaker(), until: 0 });
      void flush();
    },
    well: () => !breaker().failures,
  };
}
