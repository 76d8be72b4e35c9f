/**
 * What waits to be sent, oldest first: in memory at once, and from there in a database of the device
 * that all tabs share, so that it survives reload and a day offline. Bounded; the oldest goes first.
 */
import type { Data, Limits, Who } from "../types";

/** An event that waits. */
export interface Entry {
  /** 128 bits in hex, made when it happened: sending twice is harmless. */
  id: string;
  type: string;
  /** RFC 3339. */
  time: string;
  source: string;
  /** Both ids for a sign-in. */
  who: Who;
  data: Data;
  /** Bytes of it as JSON, about. */
  size: number;
  /** Its place in the database, once it is there. */
  key?: number;
}

/** The queue of one tab and, where the device may store, of all tabs. Never throws, never rejects. */
export interface Queue {
  add: (entry: Entry) => void;
  /** The oldest, at most `most`; damaged ones are thrown away. */
  first: (most: number) => Promise<Entry[]>;
  remove: (entries: readonly Entry[]) => Promise<void>;
  /** Everything, also on the device. */
  clear: () => Promise<void>;
  /** Whether other tabs see what this tab adds. */
  shared: () => boolean;
  /** Added by this tab and not removed by it, oldest first. */
  mine: () => readonly Entry[];
  /** Added by this tab and not yet in the database. */
  unsettled: () => readonly Entry[];
}

const EVENTS = "events";
const CHECKED_EVERY = 32;

/**
 * The queue named `name`, in `device()` (usually `indexedDB`, which may throw) while `mayStore`.
 * `lost` hears how many events were dropped for want of room, or damaged.
 */
export function queue(
  name: string,
  device: () => IDBFactory | undefined,
  mayStore: () => boolean,
  limits: Limits,
  lost: (events: number) => void,
): Queue {
  let memory: Entry[] = [];
  let mine: Entry[] = [];
  let database: Promise<IDBDatabase> | null = null;
  let broken = false;
  let checks = 0;
  let tail: Promise<unknown> = Promise.resolve();

  const shared = (): boolean => mayStore() && !broken;
  const events = async (mode: IDBTransactionMode): Promise<IDBObjectStore> => {
    database ??= open(device(), name);
    const opened = await database;
    opened.onclose = opened.onversionchange = () => {
      opened.close();
      database = null;
    };
    return opened.transaction(EVENTS, mode).objectStore(EVENTS);
  };
  /** One after the other; where the database fails, memory alone serves until the next page. */
  const turn = <T>(work: () => Promise<T>, otherwise: () => T): Promise<T> => {
    const done = tail.then(async () => {
      if (!shared()) return otherwise();
      try {
        return await work();
      } catch {
        broken = true;
        return otherwise();
      }
    });
    tail = done;
    return done;
  };

  const settle = async (): Promise<void> => {
    const some = [...memory];
    if (some.length) {
      const store = await events("readwrite");
      for (const entry of some) store.add(entry);
      await finished(store.transaction);
      memory = memory.filter((entry) => !some.includes(entry));
    }
    if (checks++ % CHECKED_EVERY === 0) await trim();
  };
  const trim = async (): Promise<void> => {
    const store = await events("readwrite");
    const [keys, all] = await Promise.all([result(store.getAllKeys()), result(store.getAll() as IDBRequest<Entry[]>)]);
    const over = surplus(all, limits);
    const last = keys[over - 1];
    if (last !== undefined) {
      store.delete(IDBKeyRange.upperBound(last));
      await finished(store.transaction);
      lost(over);
    }
  };

  return {
    add(entry) {
      memory.push(entry);
      mine.push(entry);
      const over = surplus(memory, limits);
      if (over) lost(memory.splice(0, over).length);
      mine = mine.slice(surplus(mine, limits));
      if (shared()) void turn(settle, () => {});
    },
    first: (most) =>
      turn(
        async () => {
          await settle();
          const store = await events("readwrite");
          const [keys, all] = await Promise.all([
            result(store.getAllKeys(null, most)),
            result(store.getAll(null, most) as IDBRequest<unknown[]>),
          ]);
          const good: Entry[] = [];
          all.forEach((value, place) => {
            const key = keys[place] as number;
            if (isEntry(value)) good.push({ ...value, key });
            else {
              store.delete(key);
              lost(1);
            }
          });
          return good;
        },
        () => memory.slice(0, most),
      ),
    remove(entries) {
      const ids = new Set(entries.map((entry) => entry.id));
      const others = (entry: Entry): boolean => !ids.has(entry.id);
      memory = memory.filter(others);
      mine = mine.filter(others);
      return turn(
        async () => {
          const store = await events("readwrite");
          for (const { key } of entries) if (key !== undefined) store.delete(key);
          await finished(store.transaction);
        },
        () => {},
      );
    },
    clear() {
      memory = [];
      mine = [];
      tail = tail.then(async () => {
        try {
          (await database)?.close();
        } catch {}
        database = null;
        try {
          device()?.deleteDatabase(name);
        } catch {}
      });
      return tail as Promise<void>;
    },
    shared,
    mine: () => mine,
    unsettled: () => memory,
  };
}

/** How many of `entries`, from the oldest, are beyond the limits. */
export function surplus(entries: readonly Entry[], limits: Limits): number {
  let bytes = 0;
  for (let kept = 0; kept < entries.length; kept++) {
    bytes += entries[entries.length - 1 - kept]?.size ?? 0;
    if (kept >= limits.events || bytes > limits.bytes) return entries.length - kept;
  }
  return 0;
}

function isEntry(value: unknown): value is Entry {
  const it = value as Partial<Entry> | null;
  return (
    typeof it === "object" && it !== null &&
    [it.id, it.type, it.time, it.source].every((text) => typeof text === "string") &&
    typeof it.who === "object" && typeof it.data === "object" && typeof it.size === "number"
  );
}

function open(device: IDBFactory | undefined, name: string): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    if (!device) throw new Error(name);
    const request = device.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(EVENTS, { autoIncrement: true });
    request.onsuccess = () => resolve(request.result);
    const refuse = (event: Event): void => {
      event.preventDefault();
      reject(new Error(name));
    };
    request.onerror = refuse;
    request.onblocked = refuse;
  });
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(new Error(EVENTS));
  });
}

function finished(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onerror = transaction.onabort = () => reject(new Error(EVENTS));
  });
}
