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

/** What a browser has for it; both may be missing or refuse. */
export interface Between {
  locks?: LockManager | undefined;
  channel?: (name: string) => BroadcastChannel;
}

/**
 * Takes part under `name`. `leading` is called when this tab becomes the leader (when the former
 * leader closes or crashes, the browser passes the lock on) and when it ceases to be, `hear` with what other tabs tell.
 * Without locks every tab leads; ids make repeats harmless.
 */
export function tabs(name: string, between: Between, leading: (leads: boolean) => void, hear: (news: Json) => void): Tabs {
  const abort = new AbortController();
  let leads = false;
  let release: Stop = () => {};
  let channel: BroadcastChannel | undefined;
  try {
    channel = between.channel?.(name);
    if (channel) channel.onmessage = (message) => hear(message.data as Json);
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
    if (between.locks) between.locks.request(name, { signal: abort.signal }, hold).catch(lead);
    else queueMicrotask(lead);
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
