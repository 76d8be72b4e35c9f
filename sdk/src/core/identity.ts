/** Who the person at this device is, and the token that proves it. */
import type { Json, TokenReason, TokenSource, Who } from "../types";
import type { Storage } from "./storage";

/** Ids of this device. Read from the storage each time, so that all tabs agree at once. */
export interface Identity {
  /** The user's own id where signed in, else the visitor's. */
  who: () => Who;
  /** The visitor's id, made when it is first needed. */
  visitor: () => string;
  /** The source of this device's events. */
  source: () => string;
  /** Signs in; says whether that is another person than before. A former user is forgotten first. */
  signIn: (subject: string) => boolean;
  /** Moves what was only remembered to the device, where that is allowed by now. */
  keep: () => void;
  /** Forgets everybody; the next visitor is somebody new: `next`, so that two tabs do not make one each. */
  forget: (next?: string) => void;
}

/** One text for each person. */
export const whose = ({ subject, anonymousid }: Who): string => (subject ? `s${subject}` : `a${anonymousid ?? ""}`);

/** `random` gives 128 bits in hex. */
export function identity(store: Storage, random: () => string): Identity {
  const own = (name: string): string => {
    let id = text(store.get(name));
    if (!id) store.set(name, (id = random()));
    return id;
  };
  const subject = (): string | undefined => text(store.get("subject"));
  const names = ["visitor", "subject", "device", "help", "stream", "edge", "progress"];
  const forget = (next?: string): void => {
    if (next) store.set("visitor", next);
    names.slice(next ? 1 : 0).forEach(store.remove);
  };
  return {
    who: () => {
      const id = subject();
      return id ? { subject: id } : { anonymousid: own("visitor") };
    },
    visitor: () => own("visitor"),
    source: () => `/web/${own("device")}`,
    signIn(id) {
      const before = subject();
      if (before === id) return false;
      if (before) forget();
      store.set("subject", id);
      return true;
    },
    keep: () => void names.map(store.get),
    forget,
  };
}

function text(value: Json | undefined): string | undefined {
  return typeof value === "string" && value.length > 0 && value.length <= 256 ? value : undefined;
}

/** Tokens, in memory only. */
export interface Passes {
  /**
   * A token for `who` that lives for another half minute; `null` where none can be had now,
   * `undefined` where none ever will: another person, or no source.
   */
  get: (who: Who, refused?: boolean) => Promise<string | null | undefined>;
}

const MARGIN = 30_000;
const PATIENCE = 15_000;

/**
 * Users' tokens come from `source`, and only while that user is signed in (`current`); visitors' from
 * `visitors`, the gateway. A token that names somebody else is never used.
 */
export function passes(
  source: TokenSource | undefined,
  visitors: (id: string) => Promise<string | null | undefined>,
  current: () => Who,
  now: () => number,
): Passes {
  let held: { of: string; token: string; expires: number } | null = null;
  return {
    async get(who, refused = false) {
      const of = whose(who);
      const known = held?.of === of ? held : null;
      if (known && !refused && known.expires - now() > MARGIN) return known.token;
      try {
        const token = await fetchFor(who, refused ? "refused" : known ? "expires" : "start");
        if (!token) return token === undefined ? token : null;
        const { sub, anon, exp } = claims(token);
        if (who.subject ? sub !== who.subject : anon !== who.anonymousid) return null;
        // One that is over when it comes is what a clock that is ahead makes of it.
        held = { of, token, expires: Math.max(Number(exp) * 1000 || 0, now() + 2 * MARGIN) };
        return token;
      } catch {
        return null;
      }
    },
  };

  async function fetchFor(who: Who, reason: TokenReason): Promise<string | null | undefined> {
    if (!who.subject) return who.anonymousid ? visitors(who.anonymousid) : undefined;
    if (!source || current().subject !== who.subject) return undefined;
    // A backend that never answers holds nothing up.
    const late = new Promise<null>((resolve) => setTimeout(resolve, PATIENCE, null));
    return Promise.race([source(reason), late]);
  }
}

/** The claims of a JWT, unverified: the gateway verifies. Throws where it is none. */
function claims(token: string): { sub?: Json; anon?: Json; exp?: Json } {
  const part = (token.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
  const bytes = Uint8Array.from(atob(part), (letter) => letter.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes)) as { sub?: Json };
}
