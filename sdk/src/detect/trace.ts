/** Recorded traces (`test/traces`, format in its README) and what the detectors find in them. */
import type { Detector, Interaction, Pointer, Signal } from "../types";
import { clicks, forms, waits, wandering, watcher } from "./index";
import { type Facts, targetOf } from "./target";

/** One thing that happened; `at` is milliseconds. Which of the rest is there depends on `kind`. */
export interface Item {
  at: number;
  kind: string;
  target?: Facts;
  x?: number;
  y?: number;
  pointer?: Pointer;
  form?: string;
  field?: string;
  live?: boolean;
  key?: string;
  message?: string;
  path?: string;
  id?: string | number;
  phase?: "start" | "end";
  status?: number;
  method?: string;
  what?: string;
  on?: boolean;
  hidden?: boolean;
  where?: string | number;
}

/** A trace with its label: the types of the signals that should be found, none for no trouble. */
export interface Trace {
  about: string;
  expect: readonly string[];
  items: readonly Item[];
}

/** After the last item somebody stays for so long. */
const AFTER = 60_000;

/** What the detectors find in a trace, each with the time at which it was found. */
export function findings(items: readonly Item[]): { at: number; signal: Signal }[] {
  const detectors = [clicks, forms, waits, wandering] as Detector<unknown>[];
  const watchers = detectors.map((one) => watcher(one));
  const found: { at: number; signal: Signal }[] = [];
  const feed = (next: Interaction): void => {
    for (const watch of watchers) {
      for (const signal of watch(next)) found.push({ at: next.at, signal });
    }
  };
  const sorted = items.toSorted((a, b) => a.at - b.at);
  let clock = sorted[0]?.at ?? 0;
  const wait = (until: number): void => {
    for (clock += 500; clock < until; clock += 500) feed({ kind: "tick", at: clock });
    clock = until;
  };
  for (const item of sorted) {
    wait(item.at);
    const next = interaction(item);
    if (next) feed(next);
    if (next?.kind === "leave") return found;
  }
  wait(clock + AFTER);
  return found;
}

/** An item as the detectors read it; `null` where it tells them nothing, as a finger that goes down. */
function interaction(item: Item): Interaction | null {
  const { at, kind, form = "", field = "" } = item;
  switch (kind) {
    case "click": {
      if (!item.target) return null;
      const { x = 0, y = 0, pointer = "mouse" } = item;
      return { kind, at, target: targetOf(item.target), x, y, pointer, ...(form && { form }) };
    }
    case "mutation":
      return { kind: "change", at, ...(item.where !== undefined && { where: item.where }) };
    case "selection":
    case "copy":
    case "cut":
      return { kind: "select", at };
    case "scroll":
      return { kind, at };
    case "error":
      return { kind, at, message: item.message ?? "" };
    case "navigation":
      return { kind, at, path: item.path ?? "" };
    case "request": {
      const { id = 0, phase = "start", status, method } = item;
      return { kind, at, id, phase, ...(status !== undefined && { status }), ...(method !== undefined && { method }) };
    }
    case "focus":
    case "invalid":
      return { kind, at, form, field };
    case "input":
      return { kind, at, form, field, ...(item.live && { live: true }) };
    case "keydown":
      return item.key === "Enter" ? { kind: "enter", at } : null;
    case "submit":
      return { kind, at, form };
    case "busy":
      return { kind, at, what: item.what ?? "", on: item.on === true };
    case "visibility":
      return item.hidden ? { kind: "away", at } : null;
    case "leave":
      return { kind, at };
    default:
      return null;
  }
}
