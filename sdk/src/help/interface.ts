/** The way to the interface: fetched when there is something to show, and what it tells is told on. */
import type { Stop } from "../types";
import type { Input, State } from "./showing";
import type { Inside, Message, View } from "./types";

/** The bundle's hash; filled in by the build. */
declare const UI_INTEGRITY: string;

const REST = 0;
const WORDS = 1;

/** Milliseconds at least from one that the person is done with to the next. */
export const PAUSE = 3000;

/** Milliseconds after which the interface is fetched again where it did not come; twice as many from then on. */
export const AGAIN = 10_000;

/**
 * Shows a message, in place of the one before; `undefined` shows none. One that the person is done with goes by
 * itself, once it has said what it says then, unless it must go at once (`now`). What concerns all tabs is `told`,
 * and what concerns this page only is `taken`.
 */
export function showing(
  inside: Inside,
  state: () => State,
  told: (input: Input) => void,
  taken: (input: Input) => void,
): (message: Message | undefined, now?: boolean) => void {
  const { page, settled } = inside;
  let wanted: Message | undefined;
  let stop: Stop | undefined;
  /** What is waited for before the next one comes. */
  let leaving: Set<number> | undefined;
  let again: ReturnType<typeof setTimeout> | undefined;

  const go = (): void => {
    clearTimeout(again);
    leaving = undefined;
    stop?.();
    stop = undefined;
  };
  const show = page.guard((message: Message, wait: number = AGAIN) => {
    // Meanwhile it may be another's turn.
    const due = (): boolean => wanted === message && !leaving && !stop;
    void inside.load<View>("ui", UI_INTEGRITY).then(
      page.guard((view: View) => {
        if (!due()) return;
        clearTimeout(again);
        const tell = tells(message);
        try {
          const its = view(page.window, message, tell, settled);
          if (due()) stop = its;
          else its();
        } catch {
          tell.broken();
        }
      }),
    );
    clearTimeout(again);
    again = setTimeout(() => due() && show(message, 2 * wait), wait);
  });
  return (message, now) => {
    if (now || (message?.id !== wanted?.id && !leaving)) go();
    if (message?.id === wanted?.id && (stop || !message)) return;
    wanted = message;
    if (message && !leaving) show(message);
  };

  function tells(message: Message): Parameters<View>[2] {
    const { id, intervention, policy, version, step } = message;
    const { of } = state();
    const once = new Set<string>();
    let mine: typeof leaving;
    /** Each thing is told once, and never in another person's name. */
    const tell = (type: string, data: object, last = false): void => {
      const what = JSON.stringify([type, data]);
      if (once.has(what) || state().of !== of || wanted !== message) return;
      once.add(what);
      inside.take(type, { intervention, policy, version, step, ...data });
      if (!last) return;
      mine = leaving = new Set([REST, WORDS]);
      setTimeout(() => passed(REST), PAUSE);
      told({ kind: "done", id });
    };
    const passed = (what: number): void => {
      mine?.delete(what);
      if (!mine || mine.size || mine !== leaving) return;
      leaving = undefined;
      if (wanted) {
        go();
        show(wanted);
      }
    };
    const mark = (what: string, on = true): void => {
      if (wanted === message) told({ kind: "mark", mark: what, on });
    };
    const marked = (what: string): boolean => state().marks.includes(what);
    const receipt = (what: string, data: object, last?: boolean): void => tell(`forestall.intervention.${what}`, data, last);
    return {
      seen() {
        if (marked(id)) return;
        receipt("seen", {});
        mark(id);
      },
      acted(what, value) {
        if (what === "choice") receipt("answered", { choice: value }, true);
        else receipt("acted", { what, value });
      },
      dismissed: (never) => receipt("dismissed", never ? { never } : {}, true),
      helped: () => receipt("helped", {}, true),
      stop: () => inside.optOut(),
      asked: (words) => tell("client.help", { topic: "person", ...(words ? { words: words.slice(0, 2000) } : {}) }, true),
      ticked: (step) => marked(`${id} ${step}`),
      tick: (step, on) => mark(`${id} ${step}`, on),
      over: () => passed(WORDS),
      broken() {
        passed(WORDS);
        if (wanted === message) taken({ kind: "broken", id });
      },
    };
  }
}
