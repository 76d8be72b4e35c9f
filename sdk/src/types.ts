/** The words that the modules of the SDK share. */

/** A value of JSON. */
export type Json = string | number | boolean | null | Json[] | { [name: string]: Json };

/** The data of an event: a JSON object. */
export type Data = { [name: string]: Json };

/** Something noticed: an event type with a contract, and its data. */
export interface Signal {
  type: string;
  data: Data;
}

/** Where signals go. Never throws. */
export type Emit = (signal: Signal) => void;

/** Ends what a `start` began; a second call does nothing. */
export type Stop = () => void;

/** What can be noticed; each can be switched off. */
export type SignalName =
  | "errors"
  | "requests"
  | "vitals"
  | "clicks"
  | "forms"
  | "wandering"
  | "searches"
  | "waits";

/** Who somebody is: a signed-in user, or a visitor. */
export interface Who {
  subject?: string;
  anonymousid?: string;
}

/** Why a token is asked for. */
export type TokenReason = "start" | "expires" | "refused";

/** Fetches a subject token for the signed-in user from your backend. */
export type TokenSource = (reason: TokenReason) => string | Promise<string>;

/** What a page says to `init`. */
export interface Options {
  /** A write key of origin browser. */
  key: string;
  /** Where the gateway is, such as `https://help.example.com`; by default where the script is from. */
  host?: string;
  /** Fetches a token for the signed-in user. Without it sign-ins are left to your backend. */
  token?: TokenSource;
  /** `required`: nothing is stored or sent before `consent(true)`. Default `granted`. */
  consent?: "required" | "granted";
  /** `false`: no signals at all; or some of them off. */
  signals?: false | Partial<Record<SignalName, boolean>>;
  /** Names of query parameters that may stay in addresses. Default none. */
  queries?: readonly string[];
  /** Origins whose requests get a W3C `traceparent`. Default none. */
  trace?: readonly string[];
  /** Milliseconds from which a request counts as slow. Default 3000. */
  slow?: number;
  /** `true`: words of searches may be sent. Default `false`: only their length. */
  words?: boolean;
  /** Limits that are lower than the built-in ones. */
  limits?: Partial<Limits>;
  /** `false`: nothing is ever shown on this page. */
  interface?: false;
  /** The public key of the policies that are decided on this device; without it none are. */
  edge?: string;
  /** The language of the interface, such as `de`; by default that of the page. */
  locale?: string;
  /** The interface's own words, by name, in place of the shipped ones. */
  texts?: Record<string, string>;
}

/** Hard limits of what the SDK takes of a page; options can only lower them. */
export interface Limits {
  /** Events that wait to be sent. */
  events: number;
  /** Bytes that wait to be sent. */
  bytes: number;
  /** Milliseconds of the main thread within ten seconds. */
  cpu: number;
  /** Bytes of the network within an hour. */
  network: number;
  /** Events within a minute. */
  rate: number;
}

/** Options with all defaults filled in. */
export interface Settled extends Omit<Options, "host" | "token" | "queries" | "trace" | "slow" | "limits"> {
  host: string;
  token: TokenSource | undefined;
  queries: readonly string[];
  trace: readonly string[];
  slow: number;
  limits: Limits;
}

/** An element as detectors know it: described, never its typed text. */
export interface Target {
  /** Tag, id or test id, and the page's own label, up to 40 characters of it. */
  name: string;
  /** A click on it should have an effect that a page can see: a link, a button, or it looks like one. */
  interactive: boolean;
  /** Made to be used many times, or answers where no page can see it: slider, canvas, player, open tab. */
  repeatable: boolean;
}

/** How a click was made. */
export type Pointer = "mouse" | "touch" | "pen" | "keyboard" | "script";

/**
 * What happened between a person and a page, as the pure detectors read it and as traces in
 * `test/traces` hold it. `at` is milliseconds on a clock that never goes back.
 */
export type Interaction =
  | { kind: "click"; at: number; target: Target; x: number; y: number; pointer: Pointer; form?: string }
  | { kind: "change"; at: number; where?: string | number }
  | { kind: "scroll"; at: number }
  | { kind: "select"; at: number }
  | { kind: "error"; at: number; message: string }
  | { kind: "navigation"; at: number; path: string }
  | { kind: "request"; at: number; id: string | number; phase: "start" | "end"; status?: number; method?: string }
  | { kind: "focus"; at: number; form: string; field: string }
  | { kind: "input"; at: number; form: string; field: string; live?: boolean }
  | { kind: "invalid"; at: number; form: string; field: string }
  | { kind: "enter"; at: number }
  | { kind: "submit"; at: number; form: string }
  | { kind: "busy"; at: number; what: string; on: boolean }
  | { kind: "away"; at: number }
  | { kind: "leave"; at: number }
  | { kind: "tick"; at: number };

/** One pure detector: a state and the next interaction give a state and what was found. */
export interface Detector<State> {
  /** The state before anything happened. */
  initial: State;
  /** The next state and the findings. Never changes what it is given. */
  step: (state: State, next: Interaction) => readonly [State, readonly Signal[]];
}

/** What `start(page, emit, settled)` of a signal is given of the browser; tests give their own. */
export interface Page {
  window: Window & typeof globalThis;
  document: Document;
  /** Milliseconds since the page began, never going back. */
  now: () => number;
  /** `fn`, but it never throws, and its time counts against the limit of CPU. */
  guard: <A extends unknown[]>(fn: (...args: A) => void) => (...args: A) => void;
  /** An address as it may be sent: without query (but `queries`), without fragment. */
  address: (url: string) => string;
  /** Whether an element is, or is under, `data-private`, a password or a card field. */
  isPrivate: (element: Element) => boolean;
  /**
   * Fetches `forestall-NAME.js` from the host, once the page has loaded; gives what it leaves under
   * `Symbol.for("forestall.NAME")`. Never settles where it cannot be had, but another call tries again.
   */
  load: <T>(name: string, integrity: string) => Promise<T>;
  /** The detectors that watch this page. */
  watching?: Set<(next: Interaction) => void>;
}

/** Every signal's module exports this. */
export type Start = (page: Page, emit: Emit, settled: Settled) => Stop;

/** What listeners of `on` hear, by name. */
export interface Happenings {
  /** The SDK runs. */
  ready: { anonymous: boolean };
  /** Somebody signed in or out, in this tab or another. */
  identity: Who;
  /** The person chose, in this tab or another. */
  choice: Choice;
  /** The page asked for help with `trigger`. */
  trigger: { topic: string; data: Data };
  /** Guidance is held back, or no longer. */
  suppress: { held: boolean };
  /** An event went into the queue. */
  event: { type: string; data: Data };
  /** Events were lost: too many, refused, or without a token. */
  lost: { events: number };
  /** The gateway does not take the key (`key`): this page sends nothing more, and what waits is left to the next. */
  error: { reason: string };
  /** The SDK switched itself off. */
  off: { reason: string };
  /** Another tab tells something to what comes later. @internal */
  news: { help: Json };
  /** This tab began, or ceased, to talk with the server for all tabs. @internal */
  leads: boolean;
}

/** What a person chose on this device. */
export interface Choice {
  /** About storing and sending; `null`: not asked yet. */
  consent: boolean | null;
  /** Wants no interventions. */
  optedOut: boolean;
}

/** What `init` gives, and what the module exports. */
export interface Client {
  identify: (subject: string | undefined, traits?: Data) => void;
  track: (name: string, data?: Data) => void;
  page: (category?: string, name?: string) => void;
  group: (group: string, traits?: Data) => void;
  alias: (subject: string, previous?: string) => void;
  reset: () => void;
  flush: () => Promise<void>;
  optIn: () => void;
  optOut: (reason?: string) => void;
  consent: (what: boolean | string, granted?: boolean) => void;
  on: <N extends keyof Happenings>(name: N, listener: (what: Happenings[N]) => void) => Stop;
  trigger: (topic: string, data?: Data) => void;
  suppress: (milliseconds?: number) => Stop;
  /** Whether guidance is held back now. */
  held: () => boolean;
  who: () => Who;
  choice: () => Choice;
  /** Ends everything in this tab, without a trace. */
  stop: Stop;
}
