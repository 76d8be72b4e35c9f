/** The signals, by name: each notices one kind of trouble, and can be switched off. */
import type { SignalName, Start, Stop } from "../types";
import { errors } from "./errors";
import { type LateStarts, load } from "./load";

/** What `client` starts where a person does not mind. */
export const starts: Record<SignalName, Start> = {
  errors,
  requests: late("requests"),
  vitals: late("vitals"),
  clicks: late("clicks"),
  forms: late("forms"),
  wandering: late("wandering"),
  searches: late("searches"),
  waits: late("waits"),
};

/** A signal that starts when its bundle is there. */
function late(name: keyof LateStarts): Start {
  return (page, emit, settled) => {
    let stop: Stop | undefined;
    let stopped = false;
    void load(page, settled).then((all) => {
      if (!stopped) page.guard(() => (stop = all[name](page, emit, settled)))();
    });
    return () => {
      stopped = true;
      stop?.();
    };
  };
}
