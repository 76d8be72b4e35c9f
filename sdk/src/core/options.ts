/** What a page says to `init`, checked and filled in. */
import type { Limits, Options, Settled, SignalName } from "../types";

/** The most that the SDK ever takes of a page. */
export const LIMITS: Limits = { events: 1000, bytes: 512_000, cpu: 200, network: 2_000_000, rate: 300 };

/** Bytes that one event may have; the gateway takes twice as many. */
export const EVENT_BYTES = 16_000;

/** `options` with every default filled in; `null` where there is no key or no usable host. */
export function settle(options: Options, script: string): Settled | null {
  const host = origin(options.host ?? script);
  if (typeof options.key !== "string" || !options.key || host === null) return null;
  const limits = { ...LIMITS };
  for (const name of Object.keys(limits) as (keyof Limits)[]) {
    const wanted = options.limits?.[name];
    if (typeof wanted === "number" && wanted >= 0) limits[name] = Math.min(limits[name], wanted);
  }
  return {
    ...options,
    queries: options.queries ?? [],
    trace: options.trace ?? [],
    slow: options.slow ?? 3000,
    key: options.key,
    host,
    token: typeof options.token === "function" ? options.token : undefined,
    limits,
  };
}

/** Whether this is to be noticed. */
export const isOn = ({ signals }: Settled, name: SignalName): boolean => signals !== false && signals?.[name] !== false;

function origin(url: string): string | null {
  try {
    const { origin, protocol } = new URL(url);
    return /^https?:$/.test(protocol) ? origin : null;
  } catch {
    return null;
  }
}
