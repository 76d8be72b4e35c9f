/** What a browser is, as far as the SDK needs it: several tabs of one device, and a gateway. */
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";

Object.assign(globalThis, { IDBKeyRange });

/** An event as it was sent. */
export interface Sent {
  id: string;
  type: string;
  subject?: string;
  anonymousid?: string;
  source: string;
  data: Record<string, unknown>;
}

/** A gateway that keeps what it takes; `answer` may answer in its place. */
export class Gateway {
  taken: Sent[] = [];
  requests: { url: string; init: RequestInit; events: Sent[] }[] = [];
  /** The only key that it takes, what it says to others, and what was asked with them. */
  key = "";
  says = 401;
  unknown: string[] = [];
  answer: ((events: Sent[], init: RequestInit) => Response | Promise<Response> | undefined) | null = null;

  fetch = async (url: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    if (this.key && new Headers(init.headers).get("x-write-key") !== this.key) {
      this.unknown.push(String(url).split("/v1/")[1] ?? "");
      return new Response("", { status: this.says });
    }
    if (String(url).endsWith("/v1/anonymous-tokens")) {
      const { anonymousId } = JSON.parse(String(init.body)) as { anonymousId: string };
      return Response.json({ token: jwt({ anon: anonymousId, exp: Date.now() / 1000 + 600 }) }, { status: 201 });
    }
    const events = JSON.parse(String(init.body)) as Sent[];
    this.requests.push({ url: String(url), init, events });
    return (await this.answer?.(events, init)) ?? this.take(events);
  };

  take(events: Sent[]): Response {
    const verdicts = events.map((event) => {
      const known = this.taken.some(({ id }) => id === event.id);
      if (!known) this.taken.push(event);
      return { id: event.id, verdict: known ? "duplicate" : "accepted" };
    });
    return Response.json({ verdicts }, { status: 202 });
  }

  types(): string[] {
    return this.taken.map(({ type }) => type);
  }
}

/** An unsigned token, as far as a browser reads it. */
export function jwt(claims: object): string {
  const part = btoa(JSON.stringify(claims)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
  return `e30.${part}.x`;
}

/** One device: what its tabs share. */
export class Device {
  stored = new Map<string, string>();
  database = new IDBFactory();
  waiting: (() => void)[] = [];
  locked = false;
  blocked = false;
  /** What a browser believes of the network; `undefined` where it does not tell. */
  online: boolean | undefined;
  signals: { globalPrivacyControl?: boolean; doNotTrack?: string } = {};
  channels = new Set<Channel>();
  windows = new Set<EventTarget>();
  beacons: { url: string; body: Blob }[] = [];

  constructor(readonly gateway = new Gateway()) {}

  storage(from: EventTarget): Storage {
    if (this.blocked) throw new DOMException("denied", "SecurityError");
    const { stored } = this;
    const told = (key: string): void => {
      for (const other of this.windows) {
        if (other !== from) queueMicrotask(() => other.dispatchEvent(Object.assign(new Event("storage"), { key })));
      }
    };
    return {
      getItem: (name: string) => stored.get(name) ?? null,
      setItem: (name: string, value: string) => {
        if (stored.get(name) !== value) told(name);
        stored.set(name, value);
      },
      removeItem: (name: string) => {
        if (stored.delete(name)) told(name);
      },
    } as unknown as Storage;
  }

  locks = {
    request: (_name: string, options: { signal: AbortSignal }, hold: () => Promise<void>) =>
      new Promise<void>((resolve, reject) => {
        const enter = (): void => {
          if (options.signal.aborted) return;
          this.locked = true;
          void hold().then(() => {
            this.locked = false;
            resolve();
            this.waiting.shift()?.();
          });
        };
        options.signal.addEventListener("abort", () => reject(new DOMException("", "AbortError")));
        if (this.locked) this.waiting.push(enter);
        else enter();
      }),
  };

  /** The window of a new tab. */
  tab(href = "https://shop.example/cart?secret=1"): Tab {
    return tab(this, href);
  }
}

class Channel {
  onmessage: ((message: { data: unknown }) => void) | null = null;
  constructor(private readonly device: Device) {
    device.channels.add(this);
  }
  postMessage(data: unknown): void {
    for (const other of this.device.channels) if (other !== this) queueMicrotask(() => other.onmessage?.({ data }));
  }
  close(): void {
    this.device.channels.delete(this);
  }
}

/** A tab's window. */
export type Tab = Window & typeof globalThis;

function tab(device: Device, href: string): Tab {
  const document = Object.assign(new EventTarget(), { visibilityState: "visible", baseURI: href });
  const window = Object.assign(new EventTarget(), {
    document,
    location: new URL(href),
    // A clock that stands: no test depends on how fast a machine is.
    performance: { now: () => 0 },
    crypto,
    fetch: device.gateway.fetch,
    navigator: {
      ...device.signals,
      onLine: device.online,
      locks: device.locks,
      sendBeacon: (url: string, body: Blob) => device.beacons.push({ url, body }) > 0,
    },
    BroadcastChannel: function () {
      return new Channel(device);
    },
  });
  device.windows.add(window);
  Object.defineProperty(window, "localStorage", { get: () => device.storage(window) });
  Object.defineProperty(window, "indexedDB", {
    get: () => {
      if (device.blocked) throw new DOMException("denied", "SecurityError");
      return device.database;
    },
  });
  return window as unknown as Tab;
}

/** Waits until `holds`. */
export async function until(holds: () => boolean): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    if (tries > 2000) throw new Error(`never: ${String(holds)}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
