/** Small values by name: on the device where that is allowed and possible, else in memory. */
import type { Json } from "../types";

/** Never throws; what cannot be stored is remembered until the page goes. */
export interface Storage {
  /** The value, or `undefined` where there is none or it is damaged. */
  get: (name: string) => Json | undefined;
  set: (name: string, value: Json) => void;
  remove: (name: string) => void;
}

/**
 * A `Storage` in `device` (usually `() => localStorage`, which may itself throw), under `prefix`,
 * while `allowed`; a name in `always` is stored nevertheless.
 */
export function storage(
  device: () => globalThis.Storage | undefined,
  prefix: string,
  allowed: () => boolean,
  always: readonly string[] = [],
): Storage {
  const memory = new Map<string, Json>();
  let denied = false;
  const open = (name: string): globalThis.Storage | undefined => {
    try {
      return !denied && (always.includes(name) || allowed()) ? device() : undefined;
    } catch {
      denied = true;
      return undefined;
    }
  };
  const set = (name: string, value: Json): void => {
    try {
      const there = open(name);
      if (there) {
        there.setItem(prefix + name, JSON.stringify(value));
        memory.delete(name);
        return;
      }
    } catch {}
    memory.set(name, value);
  };
  return {
    get(name) {
      const held = memory.get(name);
      // What was only remembered may be allowed on the device by now.
      if (held !== undefined) set(name, held);
      try {
        const text = open(name)?.getItem(prefix + name);
        if (text != null) return JSON.parse(text) as Json;
      } catch {}
      return held;
    },
    set,
    remove(name) {
      memory.delete(name);
      try {
        device()?.removeItem(prefix + name);
      } catch {}
    },
  };
}
