/** The SDK in one tab: puts the modules of `core/` together behind the words of analytics.js. */
import { asks, beacon, isControl, isOffline, size, visitorToken } from "./core/transport";
import { caps } from "./core/caps";
import { asksForPrivacy, CHOICE, consent as consents } from "./core/consent";
import { identity as identities, passes } from "./core/identity";
import { clean, eventType } from "./core/naming";
import { EVENT_BYTES, isOn } from "./core/options";
import { queue as queues } from "./core/queue";
import { address, isPrivate } from "./core/redact";
import { BREAKER, CLOCK, clock, sender as senders } from "./core/sender";
import { storage } from "./core/storage";
import { type Tabs, tabs as between } from "./core/tabs";
import type { Beginning, Inside } from "./help/types";
import { loads } from "./signals/load";
import type { Choice, Client, Happenings, Json, Page, Settled, Signal, SignalName, Start, Stop, Who } from "./types";

const FLUSH_AFTER = 200;
const REPORT_EVERY = 60_000;

/** Starts in `window`; `starts` are the signals, by name, `help` what receives and shows messages. */
export function client(
  window: Window & typeof globalThis,
  settled: Settled,
  starts: Partial<Record<string, Start>>,
  help?: Beginning,
): Client {
  const { document, navigator } = window;
  const now = (): number => Date.now();
  const ticks = (): number => window.performance.now();
  const random = (): string =>
    Array.from(window.crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const name = `forestall.${settled.host}`;
  const listeners = new Map<string, Set<(what: never) => void>>();
  const stops: Stop[] = [];
  const holds = new Set<object>();
  let noticing: Stop[] = [];
  let decide: Parameters<Inside["deciding"]>[0] | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  /** The gateway does not take the key: what waits is left to a page with another one. */
  let refused = false;
  let known = "";
  let dropped = 0;
  let reported = 0;

  const limits = caps(settled.limits, ticks, (reason) => {
    take("client.off", { reason }, true);
    void send.flush();
    silence();
    tell("off", { reason });
  });
  const { guard } = limits;
  const store: ReturnType<typeof storage> = storage(() => window.localStorage, `${name}.`, () => agreed.mayStore(), [CHOICE]);
  const agreed = consents(store, settled.consent === "required", asksForPrivacy(navigator));
  const person = identities(store, random);
  const lost = (events: number): void => {
    dropped += events;
    tell("lost", { events });
  };
  const waiting = queues(name, () => window.indexedDB, agreed.mayStore, settled.limits, lost);
  const join = (): Tabs =>
    between(
      name,
      window,
      (leads) => {
        soon(0);
        tell("leads", leads);
      },
      guard(hear),
    );
  let others = join();
  const ask = asks(window, settled, limits.afford, () => {
    if (refused) return;
    refused = true;
    tell("error", { reason: "key" });
    // Another tab may have a better one.
    others.stop();
  });
  const tokens = passes(settled.token, (id) => visitorToken(ask, id), person.who, now);
  const alone = (): boolean => others.leads() || !waiting.shared();
  const may = (): boolean => !stopped && !refused && !isOffline(navigator) && agreed.maySend() === true;
  const send = senders({
    ask, queue: waiting, passes: tokens, store, lost, now, chance: Math.random,
    may: () => may() && alone(),
  });

  function tell<N extends keyof Happenings>(about: N, what: Happenings[N]): void {
    for (const listener of listeners.get(about) ?? []) guard(listener as (it: Happenings[N]) => void)(what);
  }
  function hear(news: Json): void {
    if (news === "events") soon(0);
    else tell("news", news as Happenings["news"]);
  }
  function soon(milliseconds: number): void {
    if (timer !== undefined && milliseconds) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = undefined;
      if (dropped && send.well() && now() > reported + REPORT_EVERY) {
        reported = now();
        const events = dropped;
        dropped = 0;
        take("client.lost", { events });
      }
      if (alone()) void send.flush();
      // When the device has them: an empty removal is a turn like any other.
      else void waiting.remove([]).then(() => others.tell("events"));
    }, milliseconds);
  }

  /** Puts an event into the queue, if there is room and the person does not mind. */
  function take(type: string, given: object, last = false, who: Who = person.who()): void {
    if (stopped || agreed.maySend() === false) return;
    if (!last && !limits.event()) return lost(1);
    const data = clean(given);
    const entry = { id: random(), type, time: new Date(now() + clock(store)).toISOString(), source: person.source(), who, data };
    const bytes = size(JSON.stringify(entry)) + 30;
    if (!type || bytes > EVENT_BYTES) return lost(1);
    const decides = decide;
    if (decides && agreed.maySend()) {
      // What it decides is not asked about.
      decide = undefined;
      guard(() => decides(entry).forEach((one) => take(one.type, one.data, true)))();
      decide = decides;
    }
    waiting.add({ ...entry, size: bytes });
    tell("event", { type, data });
    soon(isControl(entry) ? 1 : FLUSH_AFTER);
  }
  const emit = ({ type, data }: Signal): void => {
    if (agreed.mayNotice()) take(type, data);
  };

  /** Starts or ends the signals, as the person chose. */
  function notice(): void {
    tell("choice", agreed.choice());
    if (agreed.mayStore()) person.keep();
    if (agreed.mayNotice() && !limits.isOff()) {
      if (!noticing.length) for (const each of Object.keys(starts)) begin(each);
    } else silence();
    if (agreed.maySend() === false) {
      person.forget();
      [BREAKER, CLOCK].forEach(store.remove);
      void waiting.clear();
    } else if (help && agreed.maySend() && !agreed.choice().optedOut) {
      const begin = help;
      help = undefined;
      guard(() => stops.push(begin(inside)))();
    }
    soon(0);
  }
  const begin = guard((each: string) => {
    const stop = isOn(settled, each as SignalName) && starts[each]?.(page, emit, settled);
    if (stop) noticing.push(stop);
  });
  function silence(): void {
    const all = noticing;
    noticing = [];
    for (const stop of all) {
      try {
        stop();
      } catch {}
    }
  }
  const page: Page = {
    window, document, now: ticks, guard, isPrivate,
    load: loads({ window, document, guard }, settled.host, limits.afford),
    address: (url) => address(url, document.baseURI, settled.queries),
  };
  function choose(change: Partial<Choice>): void {
    agreed.choose(change);
    notice();
  }
  /** Says something about the customer's standing. */
  const control = (type: string, data: object): void => take(`forestall.${type}`, data);

  function listen<E extends Event>(target: EventTarget, type: string, listener: (event: E) => void): void {
    const guarded = guard(listener) as (event: Event) => void;
    target.addEventListener(type, guarded);
    stops.push(() => target.removeEventListener(type, guarded));
  }
  function leave(): void {
    if (may() && send.well()) beacon(navigator, settled, alone() ? waiting.mine() : waiting.unsettled(), limits.afford);
  }
  // A page that holds a lock cannot come back from the browser's cache of pages.
  listen(window, "pagehide", leave);
  listen(window, "pagehide", () => others.stop());
  listen<PageTransitionEvent>(window, "pageshow", ({ persisted }) => {
    if (!persisted) return;
    if (!refused) others = join();
    // What other tabs changed meanwhile it did not hear.
    notice();
    changed();
  });
  // What other tabs said elsewhere may come before the device shows what they changed.
  listen<StorageEvent>(window, "storage", ({ key }) => {
    if (!key || key.endsWith(`.${CHOICE}`)) notice();
    if (!key || /\.(subject|visitor)$/.test(key)) changed();
  });
  listen(window, "online", send.online);
  listen(document, "visibilitychange", () => {
    if (document.visibilityState === "hidden") {
      void send.flush();
      leave();
    }
  });
  queueMicrotask(guard(() => {
    notice();
    known = JSON.stringify(person.who());
    tell("ready", { anonymous: !person.who().subject });
  }));

  const api: Client = {
    identify(subject, traits) {
      const { anonymousid } = person.who();
      const news = !!subject && person.signIn(subject);
      const who = { ...(subject ? { subject } : {}), ...(anonymousid ? { anonymousid } : {}) };
      if ((settled.token || !subject) && (news || traits)) {
        take("forestall.identify", { traits: traits ?? {} }, false, who);
      }
      if (news) changed();
    },
    track: (what, data = {}) => take(eventType(String(what)), data),
    page: (category, title) =>
      take("page.viewed", {
        ...(title ? { name: title } : {}),
        ...(category ? { category } : {}),
        path: page.address(window.location.href).replace(/^[a-z]+:\/\/[^/]*/, ""),
      }),
    group: (group, traits = {}) => take("group.joined", { group, traits }),
    alias(subject, previous = person.visitor()) {
      if (settled.token) take("forestall.identify", { traits: {} }, false, { subject, anonymousid: previous });
    },
    reset() {
      void send.flush();
      person.forget(random());
      changed();
    },
    flush: send.flush,
    optIn() {
      choose({ optedOut: false });
      control("optin", {});
    },
    optOut(reason) {
      control("optout", reason ? { reason } : {});
      choose({ optedOut: true });
    },
    consent(what, granted = true) {
      if (typeof what === "boolean") return choose({ consent: what });
      if (granted) choose({ consent: true });
      control(`consent.${granted ? "granted" : "withdrawn"}`, { purpose: what });
    },
    on(about, listener) {
      const all = listeners.get(about) ?? new Set();
      listeners.set(about, all.add(listener as (what: never) => void));
      return () => void all.delete(listener as (what: never) => void);
    },
    trigger(topic, data = {}) {
      take("client.help", { ...data, topic });
      tell("trigger", { topic, data });
    },
    suppress(milliseconds) {
      const hold = {};
      holds.add(hold);
      tell("suppress", { held: true });
      const release = (): void => {
        if (holds.delete(hold)) tell("suppress", { held: holds.size > 0 });
      };
      if (typeof milliseconds === "number" && milliseconds > 0) setTimeout(release, milliseconds);
      return release;
    },
    held: () => holds.size > 0,
    who: person.who,
    choice: agreed.choice,
    stop() {
      stopped = true;
      clearTimeout(timer);
      silence();
      others.stop();
      stops.forEach((stop) => stop());
    },
  };
  const inside: Inside = {
    ...api, page, settled, store, take, ask,
    load: page.load,
    source: person.source,
    mayStore: agreed.mayStore,
    token: (refused) => tokens.get(person.who(), refused),
    leads: () => others.leads(),
    tell: (news) => others.tell(news),
    deciding: (asked) => (decide = asked),
  };
  function changed(): void {
    const who = person.who();
    if (known === (known = JSON.stringify(who))) return;
    tell("identity", who);
  }
  return api;
}
