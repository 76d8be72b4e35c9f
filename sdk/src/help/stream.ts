/** The stream of one person's messages: one connection, kept as well as the network allows. */
import { retryAfter } from "../core/breaker";
import type { Ask } from "../core/transport";
import type { Json, Stop } from "../types";
import { parse, type Told } from "./parse";

/** What a stream needs. */
export interface Means {
  ask: Ask;
  token: (refused?: boolean) => Promise<string | null | undefined>;
  heard: (told: Told) => void;
  /** How often it failed in a row and when it may be tried again (wall clock): kept over pages. */
  kept: () => Json[] | undefined;
  keep: (failures: number, until: number) => void;
  /** Wall clock, milliseconds. */
  now: () => number;
  /** In [0, 1). */
  chance: () => number;
}

/** A stream that goes on until `stop`. */
export interface Stream {
  /** The network is back: neither waits out a backoff nor relies on a connection from before. */
  online: () => void;
  stop: Stop;
}

/** Without a byte for so long it is dead: three comments of the server are missing. */
export const SILENCE = 45_000;

const CHECKED_EVERY = 5000;
const SOUND = 30_000;
const SHORTEST = 250;
const LONGEST = 300_000;
/** Where the server will not have us, or has no tokens for visitors. */
const HOPELESS = 3_600_000;
const MOST = 1_000_000;

/** Begins at once, or when what was kept allows it. Never throws. */
export function stream(means: Means): Stream {
  const { now } = means;
  const ended = new AbortController();
  let wake: Stop = () => {};
  let lastId = "";
  let refused = false;

  const kept = (): { failures: number; until: number } => {
    const [failures, until] = means.kept() ?? [];
    return { failures: Number(failures) || 0, until: Number(until) || 0 };
  };
  /** Puts the next attempt off, for `least` or for longer from one failure to the next. That a page goes is none. */
  const failed = (least: number): void => {
    if (ended.signal.aborted) return;
    const failures = kept().failures + 1;
    const wait = SHORTEST + means.chance() * Math.min(LONGEST, 1000 * 2 ** Math.min(failures, 10));
    means.keep(failures, now() + Math.min(Math.max(wait, least), HOPELESS));
  };
  const rest = (milliseconds: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  async function run(): Promise<void> {
    while (!ended.signal.aborted) {
      const wait = kept().until - now();
      // A clock that was set back does not hold it for longer.
      if (wait > 0 && wait <= HOPELESS) await rest(wait);
      else await turn().catch(() => failed(0));
    }
  }

  /** One connection, from its token to its end. */
  async function turn(): Promise<void> {
    const token = await means.token(refused);
    if (ended.signal.aborted) return;
    if (!token) return failed(token === null ? 0 : HOPELESS);
    const abort = new AbortController();
    const end = (wake = (): void => abort.abort());
    ended.signal.addEventListener("abort", end);
    const began = now();
    let last = began;
    const watchdog = setInterval(() => now() - last > SILENCE && end(), CHECKED_EVERY);
    try {
      const asking = { authorization: `Bearer ${token}`, ...(lastId ? { "last-event-id": lastId } : {}) };
      const response = await means.ask("stream", asking, { signal: abort.signal });
      const { status, headers, body } = response;
      const before = refused;
      refused = status === 401;
      // Once more at once, with a fresh token.
      if (refused && !before) return;
      if (!body || !headers.get("content-type")?.startsWith("text/event-stream")) {
        return failed(status === 403 || status === 404 ? HOPELESS : retryAfter(headers.get("retry-after"), now()));
      }
      await read(body, () => (last = now()));
    } finally {
      clearInterval(watchdog);
      ended.signal.removeEventListener("abort", end);
      end();
    }
    if (now() - began > SOUND) means.keep(0, 0);
    failed(0);
  }

  async function read(body: ReadableStream<Uint8Array>, alive: Stop): Promise<void> {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done || ended.signal.aborted || rest.length > MOST) return;
      alive();
      const parsed = parse(rest, decoder.decode(value, { stream: true }));
      rest = parsed.rest;
      for (const told of parsed.told) {
        means.heard(told);
        lastId = told.id ?? lastId;
      }
    }
  }

  void run();
  return {
    online() {
      means.keep(0, 0);
      wake();
    },
    stop() {
      ended.abort();
      wake();
    },
  };
}
