/** What a person chose on this device, and what follows from it. */
import type { Choice, Json } from "../types";
import type { Storage } from "./storage";

/** The name of the choice in the storage; stored even where nothing else is, since it was asked for. */
export const CHOICE = "choice";

/** Reads and changes the choice. The device is read each time, so that all tabs agree at once. */
export interface Consent {
  choice: () => Choice;
  choose: (change: Partial<Choice>) => void;
  /** Whether anything may be kept on the device. */
  mayStore: () => boolean;
  /** Whether events may be sent: `null` means not yet, keep them in memory. */
  maySend: () => boolean | null;
  /** Whether trouble may be noticed by itself. */
  mayNotice: () => boolean;
}

/** `signalled`: the browser asks for privacy (see `asksForPrivacy`). */
export function consent(store: Storage, required: boolean, signalled: boolean): Consent {
  const choice = (): Choice => read(store.get(CHOICE));
  const maySend = (): boolean | null => choice().consent ?? (required ? null : true);
  const mayStore = (): boolean => !signalled && maySend() === true;
  return {
    choice,
    choose: (change) => store.set(CHOICE, { ...choice(), ...change }),
    mayStore,
    maySend,
    mayNotice: () => mayStore() && !choice().optedOut,
  };
}

function read(value: Json | undefined): Choice {
  const { consent, optedOut } = (value ?? {}) as Partial<Choice>;
  return { consent: typeof consent === "boolean" ? consent : null, optedOut: optedOut === true };
}

/** Global Privacy Control or Do Not Track. */
export function asksForPrivacy(navigator: Navigator): boolean {
  const { globalPrivacyControl, doNotTrack } = navigator as Navigator & { globalPrivacyControl?: boolean };
  return globalPrivacyControl === true || doNotTrack === "1" || doNotTrack === "yes";
}
