/** Batches to the gateway: what goes into one, how it is sent, and what the answer means. */
import type { Settled, Who } from "../types";
import { whose } from "./identity";
import type { Entry } from "./queue";
import { retryAfter } from "./breaker";

/** Events in a request. */
export const MOST = 100;

/** Bytes of a request: what browsers let a page send while it goes away. */
export const BYTES = 56_000;

const TIMEOUT = 15_000;

/** Whether the gateway wants the customer's own token for it. */
export const isControl = (entry: Pick<Entry, "type">): boolean => entry.type.startsWith("forestall.");

/**
 * What the gateway said of a batch: of each event why it refuses it, or `null`; or for how many
 * milliseconds it wants to be left alone; or that the batch is too large.
 */
export type Answer = readonly (string | null)[] | number | "smaller";

/** The longest beginning of `entries` that fits, and that one token proves. */
export function cut(entries: readonly Entry[], most: number): { batch: Entry[]; proof: Who | null } {
  const batch: Entry[] = [];
  let proof: Who | null = null;
  let bytes = 0;
  for (const entry of entries) {
    bytes += entry.size;
    if (batch.length >= most || (batch.length && bytes > BYTES)) break;
    if (isControl(entry)) {
      if (proof && whose(proof) !== whose(entry.who)) break;
      proof ??= entry.who;
    }
    batch.push(entry);
  }
  return { batch, proof };
}

/** A CloudEvents batch. */
export function body(batch: readonly Entry[]): string {
  return JSON.stringify(
    batch.map(({ id, type, time, source, who, data }) => ({ specversion: "1.0", id, type, time, source, ...who, data })),
  );
}

/** Asks the gateway for `path` below `/v1/`; with a body it is a POST with the write key. Rejects where there is no answer. */
export type Ask = (path: string, headers?: Record<string, string>, more?: RequestInit) => Promise<Response>;

/** Bytes of a request that are not its body, about. */
const HEAD = 500;

/** How many bytes a text has. */
export const size = (text: string): number => new TextEncoder().encode(text).length;

/**
 * The one way to the gateway: nothing of the page goes along, nothing is asked offline, and what comes and
 * goes is counted with `afford`, which says whether there may be more. `refused`: the gateway does not take the key.
 */
export function asks(
  { fetch, navigator }: Window & typeof globalThis,
  { host, key }: Settled,
  afford: (bytes: number) => boolean,
  refused: () => void,
): Ask {
  return async (path, headers, more = {}) => {
    const { body } = more;
    const bytes = body ? size(body as string) : 0;
    if (isOffline(navigator) || !afford(bytes + HEAD)) throw 0;
    const response = await fetch(`${host}/v1/${path}`, {
      credentials: "omit",
      redirect: "error",
      cache: "no-store",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(TIMEOUT),
      ...(body && { method: "POST", keepalive: bytes < BYTES }),
      ...more,
      headers: { ...headers, ...(body && { "x-write-key": key }) },
    });
    const { status } = response;
    // Of visitors' tokens, 403 says that somebody signed in.
    if (body && (status === 401 || (status === 403 && path === "events"))) refused();
    const counted = new TransformStream<Uint8Array, Uint8Array>({
      transform: (piece, to) => (afford(piece.length) ? to.enqueue(piece) : to.error()),
    });
    return new Response(response.body && response.body.pipeThrough(counted), response);
  };
}

/** Whether the browser knows that there is no network; that it knows nothing of the kind proves nothing. */
export const isOffline = (navigator: Navigator): boolean => navigator.onLine === false;

/** Sends a batch; `heard` hears the server's time (milliseconds, or `NaN`). Rejects where nobody answers, or not the gateway. */
export async function post(
  ask: Ask,
  batch: readonly Entry[],
  token: string | null,
  now: () => number,
  heard: (time: number) => void,
): Promise<Answer> {
  const kind = { "content-type": "application/cloudevents-batch+json" };
  const response = await ask("events", token ? { ...kind, "forestall-subject-token": token } : kind, { body: body(batch) });
  const { status, headers } = response;
  heard(Date.parse(headers.get("date") ?? ""));
  if (status === 400 || status === 413 || status === 422) return "smaller";
  if (status !== 202) return retryAfter(headers.get("retry-after"), now());
  const { verdicts } = (await response.json()) as { verdicts: { verdict: string; code?: string }[] };
  const codes = verdicts.map(({ verdict, code }) => (verdict === "quarantined" ? String(code) : null));
  return codes.length === batch.length ? codes : 0;
}

/** The last words of a page that goes away: no control events, nor what comes after one. */
export function beacon(
  navigator: Navigator, { host, key }: Settled, entries: readonly Entry[], afford: (bytes: number) => boolean,
): void {
  const control = entries.findIndex(isControl);
  const { batch } = cut(control < 0 ? entries : entries.slice(0, control), MOST);
  const text = body(batch);
  if (!batch.length || !afford(size(text) + HEAD)) return;
  navigator.sendBeacon(`${host}/v1/events?writeKey=${encodeURIComponent(key)}`, new Blob([text], { type: "text/plain" }));
}

/** A visitor's token from the gateway; `null` where it gives none now, `undefined` where it never will. */
export async function visitorToken(ask: Ask, anonymousId: string): Promise<string | null | undefined> {
  const kind = { "content-type": "application/json" };
  const response = await ask("anonymous-tokens", kind, { body: JSON.stringify({ anonymousId }) });
  const { status } = response;
  // Signed in by now, or a server without a secret to sign with.
  if (status === 403 || status === 501) return undefined;
  return status === 201 ? (((await response.json()) as { token?: string }).token ?? null) : null;
}
