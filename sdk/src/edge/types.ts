/** What the server signs for browsers, and what the engine remembers and decides. Times and durations are microseconds. */
import type { Data, Json, Who } from "../types";
import type { Tree } from "./conditions";
import type { Doubles, Value } from "./values";

/** Events of some types for which `where` holds. */
export interface Match {
  types: string[];
  where?: Tree;
}

/** A pattern with its repetitions written out. */
export interface When {
  ordered: boolean;
  positives: Match[];
  gaps: Record<string, Match>;
  trailing?: Match;
  quiet_for?: number;
  within?: number;
  by?: Tree;
}

/** A sliding window. */
export interface Feature {
  kind: string;
  match: Match;
  value?: Tree;
  over?: number;
  by?: Tree;
}

/** What a decision says to the person; texts are templates. */
export interface Words {
  title: string;
  body: string;
  why?: string;
  choices?: Record<string, string>;
  show?: { as: "toast" | "banner" | "hint" | "checklist" | "handover"; at?: string };
  steps?: string[];
  known?: string[];
  locale?: string;
}

/** A policy that a browser decides. */
export interface Policy {
  name: string;
  version: string;
  priority: number;
  cooldown: number;
  valid_for: number;
  budget_class: string;
  in_conversation: string;
  quiet_hours: string;
  purpose: string;
  when: When;
  features: Record<string, Feature>;
  if?: Tree;
  message: Words;
}

/** What holds for all policies. */
export interface Settings {
  lateness: number;
  grace: number;
  budget: number;
  budget_window: number;
  spacing: number;
  quiet_hours: [number, number] | null;
  timezone: string | null;
  require_consent: boolean;
}

/** `GET /v1/edge/bundle`. */
export interface Bundle {
  issued: number;
  expires: number;
  settings: Settings;
  doubles: Record<string, Doubles>;
  policies: Policy[];
}

/** An act of help: policy, when, and whether it counts for the budget (`guidance`). */
export type Act = [policy: string, at: number, budgetClass: string];

/** `GET /v1/edge/pass`: what the server knows of one person. */
export interface Pass {
  subject: string;
  who: Who;
  issued: number;
  expires: number;
  traits: Data;
  consent: Record<string, boolean>;
  opted_out: boolean;
  tickets: number;
  holdout: { global: boolean; policies: Record<string, boolean> };
  acts: Act[];
  dismissed: Record<string, [times: number, never: boolean]>;
}

/** An event as the engine takes it. */
export interface Happening {
  id: string;
  source: string;
  type: string;
  origin: string;
  data: Json;
}

/** Names an event. */
export type Ref = [source: string, id: string];

/** Part of a match: when it started, its events, and the number of its event where any order will do. */
export type Prefix = [start: number, events: Ref[], serial: number];

/** A whole match that waits for silence until `d`: its events, the last of them, and the traits then. */
export interface Armed {
  d: number;
  m: Ref[];
  e: Happening;
  s: Data;
}

/** How far one key has come. */
export interface Progress {
  k: string | null;
  b: (Prefix | null)[];
  a: Armed | null;
}

/** An event that a feature remembers. */
export type Kept = [t: number, key: string | null, value: Value];

/** What is remembered of one person on one device. */
export interface State {
  clock: number;
  serial: number;
  /** By policy and pattern. */
  patterns: Record<string, Progress[]>;
  /** By feature. */
  features: Record<string, Kept[]>;
  /** What the person said of their standing. */
  told: [type: string, data: Data, time: number][];
  acts: Act[];
}

/** Why nothing is shown. */
export type Reason =
  | "opted_out" | "no_consent" | "in_conversation" | "cooldown" | "fatigue" | "budget" | "spacing" | "quiet_hours"
  | "policy_holdout" | "outranked" | "global_holdout";

/** A decision. */
export interface Decision {
  policy: Policy;
  key: string | null;
  at: number;
  outcome: "intervene" | "suppress" | "holdout";
  reason: Reason | null;
  matched: Ref[];
  features: Record<string, Value>;
  /** The last matched event, and the traits. */
  event: Happening;
  traits: Data;
}
