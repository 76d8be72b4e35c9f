/** What a message is, and what passes between the one who receives messages and the one who shows them. */
import type { Storage } from "../core/storage";
import type { Ask } from "../core/transport";
import type { Choice, Data, Happenings, Json, Page, Settled, Stop, Who } from "../types";

/** How a message is shown. A `hint` whose element is not there is a `toast`. */
export type Form = "toast" | "banner" | "hint" | "question" | "checklist" | "handover";

/** What kind of thing was noticed, where no more is said. */
export type Noticed = "error" | "wait" | "form" | "click" | "search" | "asked";

/** A message as `GET /v1/stream` carries it, or as an edge policy made it. Plain text throughout. */
export interface Message {
  id: string;
  intervention: string;
  policy: string;
  version?: string;
  title: string;
  body: string;
  /** Why the customer sees it; without, the interface says so in words of its own. */
  why?: string;
  noticed?: Noticed;
  step?: number;
  /** Answers to a question: labels by value, in order. */
  choices?: Record<string, string>;
  /** How it is shown, and for a hint at which element (a CSS selector). Default `toast`; with `choices` a `question`. */
  show?: { as: Form; at?: string };
  /** What the customer does, in order: a checklist's items. */
  steps?: string[];
  /** What people already know, when a person takes over. */
  known?: string[];
  /** BCP 47. */
  locale?: string;
  /** Milliseconds from receiving; taken away then. */
  expires_in?: number;
}

/** What the one who shows a message tells of the person. Each may be called once or more; none throws. */
export interface Told {
  /** It was in sight for a second. */
  seen: () => void;
  /** The person did something with it: `step` (ticked), `link`, `why` (asked why), `choice` with its value. */
  acted: (what: "step" | "link" | "why" | "choice", value?: string) => void;
  /** It was closed; `never`: not this kind again. */
  dismissed: (never?: boolean) => void;
  /** It helped. */
  helped: () => void;
  /** No help of any kind any more: in all tabs, on all devices. */
  stop: () => void;
  /** Wants a person, with words of their own or none. */
  asked: (words: string) => void;
  /** Whether a step, by its number from 1, was ticked before. */
  ticked: (step: string) => boolean;
  /** A step is ticked now, or no longer. */
  tick: (step: string, on: boolean) => void;
  /** Another message may come in its place: it is gone, or what it said at the end has been there for long. */
  over: () => void;
  /** It cannot be shown here. */
  broken: () => void;
}

/** Shows `message`; the answer takes it away. `texts` replace the interface's own words. */
export type View = (window: Page["window"], message: Message, told: Told, look: Look) => Stop;

/** How the page wants it. */
export interface Look {
  /** BCP 47; by default that of the page. */
  locale?: string | undefined;
  /** The interface's own words, by name, in place of the shipped ones. */
  texts?: Record<string, string> | undefined;
}

/** Where the interface's bundle leaves its `View`. */
export const UI = Symbol.for("forestall.ui");

/** An event as the edge and the queue know it. */
export interface Happened {
  id: string;
  type: string;
  /** RFC 3339. */
  time: string;
  source: string;
  who: Who;
  data: Data;
}

/** What the core gives to the bundles that come later: the stream of messages, and the edge. */
export interface Inside {
  page: Page;
  settled: Settled;
  who: () => Who;
  source: () => string;
  choice: () => Choice;
  /** Whether guidance is held back. */
  held: () => boolean;
  /** Whether anything may be kept on the device. */
  mayStore: () => boolean;
  /** Small values by name; `help` and `edge` are forgotten with the person. */
  store: Storage;
  /** A token for the person, or none now (`null`), or never (`undefined`). */
  token: (refused?: boolean) => Promise<string | null | undefined>;
  /** Asks the gateway for a path below `/v1/`. */
  ask: Ask;
  /** Queues an event; `forestall.*` with the person's token. */
  take: (type: string, data: object) => void;
  on: <N extends keyof Happenings>(name: N, listener: (what: Happenings[N]) => void) => Stop;
  /** Whether this tab is the one that talks with the server for all tabs. */
  leads: () => boolean;
  /** Tells the other tabs; they hear it as the happening `news`. */
  tell: (news: { help: Json }) => void;
  /** Fetches `forestall-NAME.js` from the host; gives what it leaves under `Symbol.for("forestall.NAME")`. */
  load: <T>(name: string, integrity: string) => Promise<T>;
  optOut: () => void;
  /** Called with each event before it is queued; the events it gives are queued before it. */
  deciding: (decide: (happened: Happened) => readonly { type: string; data: Data }[]) => void;
}

/** What a late bundle exports: starts its work; the answer ends it. */
export type Beginning = (inside: Inside) => Stop;

/** Where the bundle of the message stream leaves its `Beginning`. */
export const HELP = Symbol.for("forestall.help");

/** What the edge is given besides: shows a message of its own, and knows what it decided. */
export interface EdgeMeans {
  show: (message: Message) => void;
  /** The server's messages of this policy are left out for so many milliseconds: it was decided here. */
  leaveOut: (policy: string, milliseconds: number) => void;
}

/** Where the bundle of the edge leaves its start. */
export const EDGE = Symbol.for("forestall.edge");

/** Starts deciding on this device; the answer ends it. */
export type EdgeBeginning = (inside: Inside, means: EdgeMeans) => Stop;
