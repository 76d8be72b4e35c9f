/** Batches to the gateway: what goes into one, how it is sent, and what the answer means. */
import type { Settled, Who } from "../types";
import type { Entry } from "./queue";
import { retryAfter } from "./breaker";

/** Events in a request. */
export const MOST = 100;

/** Bytes of a request: what browsers let a page send while it goes away. */
export const BYTES = 56_000;

const TIMEOUT = 15_000;

/** Whether the gateway wants the customer's own token for it. */
export const isControl = (entry: Pick<Entry, "type">): boolean => entry.type.startsWith("forestall.");

/** What the gateway said of a batch. */
export type Answer =
  | { kind: "taken"; unproven: readonly string[]; refused: number }
  | { kind: "smaller" }
  | { kind: "failed"; wait: number };

/** The longest beginning of `entries` that fits, and that one token proves. */
export function cut(entries: readonly Entry[], most: number): { batch: Entry[]; proof: Who | null } {
  const batch: Entry[] = [];
  let proof: Who | null = null;
  let bytes = 0;
  for (const entry of entries) {
    bytes += entry.size;
    if (batch.length >= most || (batch.length && bytes > BYTES)) break;
    if (isControl(entry)) {
      if (proof && name(proof) !== name(entry.who)) break;
      proof ??= entry.who;
    }
    batch.push(entry);
  }
  return { batch, proof };
}

const name = (who: Who): string => (who.subject ? `s${who.subject}` : `a${who.anonymousid ?? ""}`);

/** A CloudEvents batch. */
export function body(batch: readonly Entry[]): string {
  return JSON.stringify(
    batch.map(({ id, type, time, source, who, data }) => ({ specversion: "1.0", id, type, time, source, ...who, data })),
  );
}

/**
 * Sends a batch; `heard` hears the server's time (milliseconds, or `NaN`). Never rejects: a page that is
 * not the gateway's answer is a failure like any other.
 */
export async function post(
  fetch: typeof globalThis.fetch,
  settled: Settled,
  batch: readonly Entry[],
  token: string | null,
  now: () => number,
  heard: (time: number) => void,
): Promise<Answer> {
  try {
    const proof = token ? { "forestall-subject-token": token } : {};
    const response = await ask(fetch, settled, "events", "cloudevents-batch+json", body(batch), proof);
    const { status, headers } = response;
    heard(Date.parse(headers.get("date") ?? ""));
    if (status === 202) return judge(await response.json(), batch);
    if (status === 400 || status === 413 || status === 422) return { kind: "smaller" };
    return { kind: "failed", wait: retryAfter(headers.get("retry-after"), now()) };
  } catch {
    return { kind: "failed", wait: 0 };
  }
}

const ask = (
  fetch: typeof globalThis.fetch,
  { host, key }: Settled,
  path: string,
  kind: string,
  text: string,
  proof: Record<string, string>,
): Promise<Response> =>
  fetch(`${host}/v1/${path}`, {
    method: "POST",
    body: text,
    headers: { "content-type": `application/${kind}`, "x-write-key": key, ...proof },
    keepalive: text.length < BYTES,
    credentials: "omit",
    redirect: "error",
    cache: "no-store",
    referrerPolicy: "no-referrer",
    signal: AbortSignal.timeout(TIMEOUT),
  });

/** What the verdicts say; an answer without one for each event is not the gateway's. */
function judge(answer: unknown, batch: readonly Entry[]): Answer {
  const verdicts = (answer as { verdicts?: unknown } | null)?.verdicts;
  if (!Array.isArray(verdicts) || verdicts.length !== batch.length) return { kind: "failed", wait: 0 };
  const bad = (verdicts as { verdict?: string; code?: string }[])
    .map(({ verdict, code }, place) => ({ verdict, code, id: batch[place]?.id ?? "" }))
    .filter(({ verdict }) => verdict === "quarantined");
  const unproven = bad.filter(({ code }) => code?.startsWith("subject-token-")).map(({ id }) => id);
  return { kind: "taken", unproven, refused: bad.length - unproven.length };
}

/** The last words of a page that goes away: no control events, nor what comes after one. */
export function beacon(navigator: Navigator, settled: Settled, entries: readonly Entry[]): boolean {
  try {
    const control = entries.findIndex(isControl);
    const { batch } = cut(control < 0 ? entries : entries.slice(0, control), MOST);
    if (!batch.length) return true;
    const url = `${settled.host}/v1/events?writeKey=${encodeURIComponent(settled.key)}`;
    return navigator.sendBeacon(url, new Blob([body(batch)], { type: "text/plain" }));
  } catch {
    return false;
  }
}

/** A visitor's token from the gateway; `null` where it gives none now, `undefined` where it never will. */
export async function visitorToken(
  fetch: typeof globalThis.fetch,
  settled: Settled,
  anonymousId: string,
): Promise<string | null | undefined> {
  try {
    const response = await ask(fetch, settled, "anonymous-tokens", "json", JSON.stringify({ anonymousId }), {});
    // Signed in by now, or a server without a secret to sign with.
    if (response.status === 403 || response.status === 501) return undefined;
    const { token } = (await response.json()) as { token?: unknown };
    return response.status === 201 && typeof token === "string" ? token : null;
  } catch {
    return null;
  }
}
