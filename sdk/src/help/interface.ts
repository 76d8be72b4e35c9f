/** The way to the interface: fetched when there is something to show, and what it tells is told on. */
import type { Stop } from "../types";
import type { Input, State } from "./showing";
import type { Inside, Message, View } from "./types";

/** The bundle's hash; filled in by the build. */
declare const UI_INTEGRITY: string;

/** Milliseconds in which one that the person is done with may say thanks, and the next one waits. */
export const PAUSE = 3000;

/**
 * Shows a message, in place of the one before; `undefined` shows none. One that the person is done with
 * goes by itself, unless it must go at once (`now`).
 */
export function showing(
  inside: Inside,
  state: () => State,
  told: (input: Input) => void,
): (message: Message | undefined, now?: boolean) => void {
  const { page, settled } = inside;
  let wanted: Message | undefined;
  let stop: Stop | undefined;
  let pausing: ReturnType<typeof setTimeout> | undefined;
  const show = page.guard((message: Message) => {
    void inside.load<View>("ui", UI_INTEGRITY).then(
      page.guard((view: View) => {
        // Meanwhile it may be another's turn.
        if (wanted === message && !pausing && !stop) stop = view(page.window, message, tells(message), settled);
      }),
    );
  });
  return (message, now) => {
    if (now) {
      clearTimeout(pausing);
      pausing = undefined;
    }
    if (now || (message?.id !== wanted?.id && !pausing)) {
      stop?.();
      stop = undefined;
    }
    if (message?.id === wanted?.id && (stop || !message)) return;
    wanted = message;
    if (message && !pausing) show(message);
  };

  function tells(message: Message): Parameters<View>[2] {
    const { id, intervention, policy, version, step } = message;
    const { of } = state();
    const once = new Set<string>();
    /** Each thing is told once, and never in another person's name. */
    const tell = (type: string, data: object, last = false): void => {
      const what = JSON.stringify([type, data]);
      if (once.has(what) || state().of !== of || wanted !== message) return;
      once.add(what);
      inside.take(type, { intervention, policy, version, step, ...data });
      if (!last) return;
      pausing = setTimeout(() => {
        stop?.();
        stop = pausing = undefined;
        if (wanted) show(wanted);
      }, PAUSE);
      told({ kind: "done", id });
    };
    const receipt = (what: string, data: object, last?: boolean): void => tell(`forestall.intervention.${what}`, data, last);
    return {
      seen() {
        if (state().seen.includes(id)) return;
        receipt("seen", {});
        told({ kind: "seen", id });
      },
      acted(what, value) {
        if (what === "choice") receipt("answered", { choice: value }, true);
        else receipt("acted", { what, value });
      },
      dismissed: (never) => receipt("dismissed", never ? { never } : {}, true),
      helped: () => receipt("helped", {}, true),
      stop: () => inside.optOut(),
      asked: (words) => tell("client.help", { topic: "person", ...(words ? { words: words.slice(0, 2000) } : {}) }, true),
    };
  }
}
