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
      await done(store.transaction);
      memory = memory.filter((entry) => !some.includes(entry));
    }
    if (checks++ % CHECKED_EVERY === 0) await trim();
  };
  const trim = async (): Promise<void> => {
    const store = await events("readwrite");
    const [keys, all] = await read<Entry>(store);
    const over = surplus(all, limits);
    const last = keys[over - 1];
    if (last !== undefined) {
      store.delete(IDBKeyRange.upperBound(last));
      await done(store.transaction);
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
          const [keys, all] = await read<unknown>(store, most);
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
          await done(store.transaction);
        },
        () => {},
      );
    },
    clear() {
      memory = [];
      mine = [];
      // It closes itself first: see `onversionchange`.
      const gone = tail.then(() => void device()?.deleteDatabase(name)).catch(() => {});
      tail = gone;
      return gone;
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
  const { id, type, time, source, who, data, size } = (value ?? {}) as Partial<Entry>;
  const are = (kind: string, ...all: unknown[]): boolean => all.every((one) => typeof one === kind);
  return are("string", id, type, time, source) && are("object", who, data) && are("number", size);
}

const read = <T>(store: IDBObjectStore, most?: number): Promise<[number[], T[]]> =>
  Promise.all([store.getAllKeys(null, most), store.getAll(null, most)].map(done)) as Promise<[number[], T[]]>;

async function open(device: IDBFactory | undefined, name: string): Promise<IDBDatabase> {
  if (!device) throw 0;
  const request = device.open(name, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(EVENTS, { autoIncrement: true });
  return (await done(request)) as IDBDatabase;
}

/** What a request gives, or that a transaction is complete. */
function done(it: IDBRequest | IDBTransaction): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const good = (): void => resolve((it as IDBRequest).result);
    const bad = (event: Event): void => {
      // Else the page would hear of it.
      event.preventDefault();
      reject(event);
    };
    Object.assign(it, { onsuccess: good, oncomplete: good, onerror: bad, onabort: bad, onblocked: bad });
  });
}
