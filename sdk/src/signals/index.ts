/** The signals, by name: each notices one kind of trouble, and can be switched off. */
import type { SignalName, Start } from "../types";
import { errors } from "./errors";
import { type LateStarts, later } from "./load";

/** The bundle's hash; filled in by the build. */
declare const SIGNALS_INTEGRITY: string;

const NAMES: readonly SignalName[] = ["errors", "requests", "vitals", "clicks", "forms", "wandering", "searches", "waits"];

/** What `client` starts where a person does not mind. */
export const starts = Object.fromEntries(NAMES.map((name) => [name, name === "errors" ? errors : late(name)])) as Record<
  SignalName,
  Start
>;

/** A signal that starts when its bundle is there. */
function late(name: keyof LateStarts): Start {
  return (page, emit, settled) =>
    later<LateStarts>(page, "signals", SIGNALS_INTEGRITY, (all) => all[name](page, emit, settled));
}
