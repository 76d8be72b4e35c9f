/**
 * `@forestall/web`: notices trouble on a page, shows help, and is never itself the trouble.
 *
 * Every function may be called before `init`: what it was told waits. None ever throws.
 * @packageDocumentation
 */
import { client } from "./client";
import { settle } from "./core/options";
import type { Choice, Client, Data, Happenings, Options, Stop, Who } from "./types";
import { help } from "./help/load";
import { starts } from "./signals";

export type { Choice, Data, Happenings, Json, Limits, Options, SignalName, Stop, TokenReason, TokenSource, Who } from "./types";

const WAITING = 200;
const script = ((): string => {
  try {
    return (document.currentScript as HTMLScriptElement | null)?.src || location.href;
  } catch {
    return "";
  }
})();

let running: Client | null = null;
let waiting: ((to: Client) => void)[] = [];

/** Starts; a second call, or one without a key, does nothing. */
export function init(options: Options): void {
  try {
    const settled = running ? null : settle(options, script);
    if (!settled) return;
    running = client(window, settled, starts, settled.interface === false ? undefined : help);
    const calls = waiting;
    waiting = [];
    calls.forEach(call);
  } catch {}
}

/**
 * The user signed in, or has these traits. With a `token` source this is told to the gateway, which
 * links what the visitor did so far. As in analytics.js, a function given last is called afterwards.
 */
export function identify(subject: string | Data, traits?: Data, ...rest: unknown[]): void {
  call((to) => {
    if (typeof subject === "string") to.identify(subject, objects(traits));
    else to.identify(to.who().subject, objects(subject));
    after([traits, ...rest]);
  });
}

/** Something happened: `track("Payment Failed", { amount: 12 })` is the event `payment.failed`. */
export function track(name: string, data?: Data, ...rest: unknown[]): void {
  call((to) => {
    to.track(name, objects(data));
    after([data, ...rest]);
  });
}

/** A page was viewed: `page()`, `page("Docs", "Start")` or `page("Start")`. */
export function page(...words: unknown[]): void {
  const [first, second] = words.filter((it) => typeof it === "string");
  call((to) => {
    if (second === undefined) to.page(undefined, first);
    else to.page(first, second);
    after(words);
  });
}

/** The user belongs to an account. */
export function group(group: string, traits?: Data, ...rest: unknown[]): void {
  call((to) => {
    to.group(group, objects(traits));
    after([traits, ...rest]);
  });
}

/** The visitor `previous` (by default this one) is the user `subject`. Needs a `token` source. */
export function alias(subject: string, previous?: string): void {
  call((to) => to.alias(subject, typeof previous === "string" ? previous : undefined));
}

/** The user signed out: forgets all ids. What waits is still sent as it was. */
export function reset(): void {
  call((to) => to.reset());
}

/** Sends what waits now; resolves when that is done or has to wait. */
export function flush(): Promise<void> {
  return running ? running.flush() : Promise.resolve();
}

/** The person wants help again. */
export function optIn(): void {
  call((to) => to.optIn());
}

/** The person wants no help: signals end in all tabs, and nothing is shown on any device. */
export function optOut(reason?: string): void {
  call((to) => to.optOut(reason));
}

/** `consent(true)`, `consent(false)`: about this device. `consent("support", false)`: about a purpose. */
export function consent(what: boolean | string, granted?: boolean): void {
  call((to) => to.consent(what, granted));
}

/** Calls `listener` when something happens; the answer ends that. */
export function on<N extends keyof Happenings>(name: N, listener: (what: Happenings[N]) => void): Stop {
  return ending((to) => to.on(name, listener));
}

/** The person asked for help: the event `client.help` with this topic, for your policies to read. */
export function trigger(topic: string, data?: Data): void {
  call((to) => to.trigger(topic, objects(data)));
}

/** Holds guidance back in this tab, for so long or until the answer is called: no help mid-payment. */
export function suppress(milliseconds?: number): Stop {
  return ending((to) => to.suppress(milliseconds));
}

/** analytics.js: calls `listener` once the SDK runs. */
export function ready(listener: () => void): void {
  call(() => after([listener]));
}

/** analytics.js: the ids of the person. */
export function user(): { id: () => string | null; anonymousId: () => string | null } {
  const who = (): Who => (running ? running.who() : {});
  return { id: () => who().subject ?? null, anonymousId: () => who().anonymousid ?? null };
}

/** What the person chose on this device. */
export function choice(): Choice {
  return running ? running.choice() : { consent: null, optedOut: false };
}

/** Begins something, now or once it runs; the answer ends it, or has it never begin. */
function ending(begin: (to: Client) => Stop): Stop {
  let stop: Stop | undefined;
  let ended = false;
  call((to) => {
    if (!ended) stop = begin(to);
  });
  return () => {
    ended = true;
    stop?.();
  };
}

function call(what: (to: Client) => void): void {
  try {
    if (running) what(running);
    else if (waiting.length < WAITING) waiting.push(what);
  } catch {}
}

/** Calls the function among `words`, as callbacks of analytics.js are: later, whatever it does. */
function after(words: readonly unknown[]): void {
  const callback = words.find((it) => typeof it === "function") as (() => void) | undefined;
  if (callback) {
    setTimeout(() => {
      try {
        callback();
      } catch {}
    });
  }
}

const objects = (data: unknown): Data | undefined =>
  typeof data === "object" && data !== null ? (data as Data) : undefined;
