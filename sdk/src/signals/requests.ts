/** Failed and slow requests of the page: `fetch` and `XMLHttpRequest`, wrapped so that nobody notices. */
import type { Page, Settled, Start } from "../types";
import { tell } from "./tell";

/** Different failures that are told in one page, and how often each. */
const DIFFERENT = 30;
const TIMES = 5;

type Done = (status: number, aborted?: boolean) => void;

/** One request: what to do when it ends, and the `traceparent` that it gets. */
interface Watched {
  done: Done;
  trace: string;
}

/** Tells of requests that failed or were slow. */
export const requests: Start = (page, emit, settled) => {
  const { window } = page;
  const times = new Map<string, number>();
  let last = 0;
  let stopped = false;

  const watch = (method: string, url: string): Watched | null => {
    const to = new URL(url, window.document.baseURI);
    if (stopped || !/^https?:$/.test(to.protocol) || isOwn(to, settled)) return null;
    const began = page.now();
    const id = (last += 1);
    tell(page, { kind: "request", id, phase: "start", method });
    const done = page.guard<[number, boolean?]>((status, aborted = false) => {
      tell(page, { kind: "request", id, phase: "end", status: aborted ? 200 : status, method });
      const ms = Math.round(page.now() - began);
      const slow = ms >= settled.slow;
      const outcome = aborted ? "aborted" : status < 100 || status >= 400 ? "failed" : "slow";
      if (stopped || (outcome !== "failed" && !slow)) return;
      const path = page.address(to.href).slice(to.origin.length).slice(0, 300);
      const key = `${method} ${to.origin}${path} ${outcome}`;
      const before = times.get(key) ?? 0;
      if (before >= TIMES || (!before && times.size >= DIFFERENT)) return;
      times.set(key, before + 1);
      emit({ type: "client.request", data: { method, path, status, ms, outcome, origin: to.origin } });
    });
    return { done, trace: settled.trace.includes(to.origin) ? traceparent(page) : "" };
  };
  /** `watch`, but trouble of ours is nobody else's. */
  const tried = (method: string, url: string): Watched | null => {
    try {
      return watch(method.toUpperCase(), url);
    } catch {
      return null;
    }
  };
  const stops = [wrapFetch(page, tried), wrapXhr(page, tried)];
  return () => {
    stopped = true;
    for (const stop of stops) stop();
  };
};

type Watch = (method: string, url: string) => Watched | null;

const isOwn = (to: URL, { host }: Settled): boolean => to.origin === host && /^\/(v1|sdk)\//.test(to.pathname);

function traceparent({ window }: Page): string {
  const bytes = window.crypto.getRandomValues(new Uint8Array(24));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-01`;
}

function wrapFetch({ window }: Page, watch: Watch): () => void {
  const original = window.fetch;
  const wrapped: typeof fetch = function (this: unknown, input, init) {
    const request = input instanceof Request ? input : null;
    const watched = watch(init?.method ?? request?.method ?? "GET", request?.url ?? String(input));
    if (!watched) return original.call(this as Window, input, init);
    const headers = watched.trace && traced(init?.headers ?? request?.headers, watched.trace);
    return original.call(this as Window, input, headers ? { ...init, headers } : init).then(
      (response) => {
        watched.done(response.type === "opaque" ? 200 : response.status);
        return response;
      },
      (error: unknown) => {
        watched.done(0, (error as Error | undefined)?.name === "AbortError");
        throw error;
      },
    );
  };
  window.fetch = wrapped;
  return () => {
    if (window.fetch === wrapped) window.fetch = original;
  };
}

/** `given` with the trace; `null` where there is one already, or `given` is wrong and the page shall hear so. */
function traced(given: HeadersInit | undefined, trace: string): Headers | null {
  try {
    const headers = new Headers(given);
    if (headers.has("traceparent")) return null;
    headers.set("traceparent", trace);
    return headers;
  } catch {
    return null;
  }
}

function wrapXhr({ window }: Page, watch: Watch): () => void {
  const { prototype } = window.XMLHttpRequest;
  const { open, send } = prototype;
  const asked = new WeakMap<XMLHttpRequest, readonly [string, string]>();
  const opened = function (this: XMLHttpRequest, ...args: unknown[]): void {
    Reflect.apply(open, this, args);
    asked.set(this, [String(args[0]), String(args[1])]);
  };
  const sent = function (this: XMLHttpRequest, body?: Document | XMLHttpRequestBodyInit | null): void {
    const known = asked.get(this);
    const watched = known && watch(...known);
    if (watched) {
      let aborted = false;
      this.addEventListener("abort", () => (aborted = true), { once: true });
      this.addEventListener("loadend", () => watched.done(this.status, aborted), { once: true });
      if (watched.trace) this.setRequestHeader("traceparent", watched.trace);
    }
    send.call(this, body);
  };
  prototype.open = opened as typeof open;
  prototype.send = sent;
  return () => {
    if (prototype.open === opened) prototype.open = open;
    if (prototype.send === sent) prototype.send = send;
  };
}
