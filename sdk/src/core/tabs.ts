/** All tabs of a site share one queue and one sender: the leader, which holds a lock. */
import type { Json, Stop } from "../types";

/** The tabs of this site, seen from one of them. */
export interface Tabs {
  /** Whether this tab sends for all. */
  leads: () => boolean;
  /** Tells the other tabs; nothing where that is not possible. */
  tell: (news: Json) => void;
  stop: Stop;
}

/**
 * Takes part under `name`, by a lock and a channel; both may be missing or refuse. `leading` is called when this tab becomes the leader (when the former
 * leader closes or crashes, the browser passes the lock on) and when it ceases to be, `hear` with what other tabs tell.
 * Without locks every tab leads; ids make repeats harmless.
 */
export function tabs(
  name: string,
  { navigator, BroadcastChannel }: Window & typeof globalThis,
  leading: (leads: boolean) => void,
  hear: (news: Json) => void,
): Tabs {
  const abort = new AbortController();
  let leads = false;
  let release: Stop = () => {};
  let channel: BroadcastChannel | undefined;
  try {
    channel = new BroadcastChannel(name);
    channel.onmessage = (message) => hear(message.data as Json);
  } catch {}

  const lead = (): void => {
    if (abort.signal.aborted) return;
    leads = true;
    leading(true);
  };
  const hold = (): Promise<void> => {
    const held = new Promise<void>((resolve) => (release = resolve));
    lead();
    return held;
  };
  try {
    navigator.locks.request(name, { signal: abort.signal }, hold).catch(lead);
  } catch {
    queueMicrotask(lead);
  }
  return {
    leads: () => leads,
    tell(news) {
      try {
        channel?.postMessage(news);
      } catch {}
    },
    stop() {
      leads = false;
      leading(false);
      abort.abort();
      release();
      try {
        channel?.close();
      } catch {}
    },
  };
}
