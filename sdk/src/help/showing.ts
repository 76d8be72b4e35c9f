/** Which one message is shown: a state and what happened give a state. Pure; times in milliseconds. */
import type { Message } from "./types";

/** Messages that are remembered as closed, and marks. */
export const KNOWN = 200;

/** A message that is open: shown, or waiting for its turn. */
export interface Open {
  message: Message;
  /** On a clock that never goes back. */
  until: number;
  /** Made on this device: the server does not know it. */
  local: boolean;
  /** This page cannot show it. */
  broken?: boolean;
}

/** What one person's tab knows. */
export interface State {
  /** Whose it is: `key` of a `Who`. */
  of: string;
  /** In the order in which they are shown. */
  open: readonly Open[];
  /** Ids that are never shown again, the latest last. */
  done: readonly string[];
  /** What is remembered of messages: its id of one that was seen, the id and a step of one that is ticked. */
  marks: readonly string[];
  /** Policies whose messages of the server are left out, and until when. */
  leftOut: Readonly<Record<string, number>>;
  /** Guidance is held back. */
  held: boolean;
}

/** What can happen. Plain data, since tabs tell it each other; durations, since their clocks differ. */
export type Input =
  | { kind: "message"; message: Message; local: boolean }
  /** All that still holds, of the server's. */
  | { kind: "current"; ids: readonly string[] }
  | { kind: "withdraw"; everything: boolean; interventions: readonly string[] }
  /** Closed, or answered. */
  | { kind: "done"; id: string }
  | { kind: "mark"; mark: string; on: boolean }
  /** In this tab. */
  | { kind: "broken"; id: string }
  /** What the tab that talks with the server has open. */
  | { kind: "whole"; open: readonly { message: Message; local: boolean }[] }
  | { kind: "hold"; held: boolean }
  | { kind: "leaveOut"; policy: string; milliseconds: number }
  /** Time went by. */
  | { kind: "tick" };

/** Of a person of whom nothing is known but `done` and `marks`. */
export function fresh(of: string, held: boolean, done: readonly string[] = [], marks: readonly string[] = []): State {
  return { of, open: [], done, marks, leftOut: {}, held };
}

/** The next state. Never changes what it is given. */
export function step(state: State, input: Input, now: number): State {
  const open = state.open.filter(({ until }) => until > now);
  const next = { ...state, open };
  switch (input.kind) {
    case "message":
      return add(next, input, now);
    case "current":
      return { ...next, open: open.filter(({ message, local }) => local || input.ids.includes(message.id)) };
    case "withdraw":
      return {
        ...next,
        open: input.everything ? [] : open.filter(({ message }) => !input.interventions.includes(message.intervention)),
      };
    case "done":
      return { ...next, open: open.filter(({ message }) => message.id !== input.id), done: noted(state.done, input.id) };
    case "mark":
      return { ...next, marks: noted(state.marks, input.mark, input.on) };
    case "broken":
      return { ...next, open: open.map((one) => (one.message.id === input.id ? { ...one, broken: true } : one)) };
    case "whole": {
      const kept = open.filter(({ message, local }) => local || input.open.some((one) => one.message.id === message.id));
      return input.open.reduce<State>((to, one) => add(to, one, now), { ...next, open: kept });
    }
    case "hold":
      return { ...next, held: input.held };
    case "leaveOut":
      return { ...next, leftOut: { ...state.leftOut, [input.policy]: now + input.milliseconds } };
    default:
      // Time went by, or a tab with another version told what this one does not know.
      return next;
  }
}

/** The one that is to be seen now. */
export function visible(state: State, now: number): Message | undefined {
  return state.held ? undefined : state.open.find(({ until, broken }) => until > now && !broken)?.message;
}

/** Adds a message that is not known; of one that is open, only how long it holds may be news. */
function add(state: State, { message, local }: { message: Message; local: boolean }, now: number): State {
  const until = now + (message.expires_in ?? Infinity);
  const { id, policy } = message;
  if (state.open.some((one) => one.message.id === id)) {
    const open = state.open.map((one) => (one.message.id === id ? { ...one, until } : one));
    return { ...state, open: open.filter((one) => one.until > now) };
  }
  const leftOut = !local && (state.leftOut[policy] ?? 0) > now;
  if (until <= now || leftOut || state.done.includes(id)) return state;
  return { ...state, open: [...state.open, { message, until, local }] };
}

const noted = (ids: readonly string[], id: string, on = true): readonly string[] =>
  [...ids.filter((one) => one !== id), ...(on ? [id] : [])].slice(-KNOWN);
