/** A device whose tabs receive messages: what the core gives them, and a server that streams. */
import { settle } from "../src/core/options";
import type { Ask } from "../src/core/transport";
import { begin } from "../src/help/index";
import type { EdgeMeans, Inside, Message, Told, View } from "../src/help/types";
import type { Choice, Happenings, Json, Options, Stop, Who } from "../src/types";

/** A message that holds for a minute unless told otherwise. */
export const message = (id: string, more: Partial<Message> = {}): Message => ({
  id, intervention: `i${id}`, policy: "p", title: "t", body: "b", why: "w", expires_in: 60_000, ...more,
});

/** One connection, as the server has it. */
class Stream {
  open = true;
  private readonly encoder = new TextEncoder();
  constructor(
    private readonly controller: ReadableStreamDefaultController<Uint8Array>,
    readonly headers: Record<string, string>,
    readonly whose: string,
  ) {}
  raw(text: string): void {
    // In two pieces, as a network might.
    const bytes = this.encoder.encode(text);
    const half = bytes.length >> 1;
    if (this.open) for (const piece of [bytes.slice(0, half), bytes.slice(half)]) this.controller.enqueue(piece);
  }
  say(event: string, data: object, id = ""): void {
    this.raw(`${id ? `id: ${id}\n` : ""}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }
  message(one: Message): void {
    this.say("message", one, one.id);
  }
  end(): void {
    if (this.open) this.controller.close();
    this.open = false;
  }
  cut(): void {
    if (this.open) this.controller.error(new DOMException("", "AbortError"));
    this.open = false;
  }
}

/** One tab. */
class HomeTab {
  window: Window & typeof globalThis;
  taken: [string, object][] = [];
  loaded: string[] = [];
  /** The id of the message that is shown. */
  shown: string | undefined;
  /** Ids of messages whose view breaks when it draws them. */
  breaks: string[] = [];
  /** How often something was shown. */
  views = 0;
  told: Told | undefined;
  edge: EdgeMeans | undefined;
  inside: Inside;
  private held = false;
  private readonly listeners = new Map<string, Set<(what: never) => void>>();
  private readonly stop: Stop;

  constructor(private readonly home: Home) {
    const { settled } = home;
    this.window = new EventTarget() as unknown as Window & typeof globalThis;
    this.inside = {
      settled,
      page: { window: this.window, now: () => performance.now(), guard } as unknown as Inside["page"],
      ask: home.ask,
      who: () => home.who,
      source: () => "/web/d",
      choice: () => home.choice,
      held: () => this.held,
      mayStore: () => home.mayStore(),
      store: home.store,
      token: (refused = false) => {
        home.asked.push({ refused, who: home.name });
        return home.token();
      },
      take: (type, data) => void this.taken.push([type, JSON.parse(JSON.stringify(data)) as object]),
      on: (name, listener) => {
        const all = this.listeners.get(name) ?? new Set();
        this.listeners.set(name, all.add(listener as (what: never) => void));
        return () => void all.delete(listener as (what: never) => void);
      },
      leads: () => home.tabs[0] === this,
      tell: (news) => {
        const text = JSON.stringify(news);
        for (const other of home.tabs) if (other !== this) queueMicrotask(() => other.hear("news", JSON.parse(text) as { help: Json }));
      },
      optOut: () => home.choose({ optedOut: true }),
      deciding: () => {},
      load: <T,>(name: string) => {
        this.loaded.push(name);
        if (name === "ui" && home.unloadable-- > 0) return new Promise(() => {});
        return Promise.resolve((name === "ui" ? this.view : this.begins) as T);
      },
    };
    home.tabs.push(this);
    this.stop = begin(this.inside);
  }
  private readonly view: View = (_window, one, told) => {
    this.views += 1;
    if (this.breaks.includes(one.id)) throw new Error("broken");
    this.shown = one.id;
    this.told = told;
    return () => {
      if (this.told === told) this.shown = undefined;
    };
  };
  private readonly begins = (_inside: Inside, means: EdgeMeans): Stop => {
    this.edge = means;
    return () => (this.edge = undefined);
  };
  hear<N extends keyof Happenings>(name: N, what: Happenings[N]): void {
    for (const listener of this.listeners.get(name) ?? []) guard(listener as (it: Happenings[N]) => void)(what);
  }
  /** The view goes by itself, as it does after thanks. */
  goes(): void {
    this.shown = undefined;
    this.told?.over();
  }
  suppress(held: boolean): void {
    this.held = held;
    this.hear("suppress", { held });
  }
  close(): void {
    this.window.dispatchEvent(new Event("pagehide"));
    this.stop();
    this.shown = undefined;
    this.home.tabs = this.home.tabs.filter((tab) => tab !== this);
    this.home.tabs[0]?.hear("leads", true);
  }
}

/** One device. */
export class Home {
  tabs: HomeTab[] = [];
  streams: Stream[] = [];
  asked: { refused: boolean; who: string }[] = [];
  requests = 0;
  /** How often the interface cannot be fetched. */
  unloadable = 0;
  /** Answers in place of a stream. */
  answer: (() => Response | Promise<Response>) | null = null;
  token: () => Promise<string | null | undefined> = () => Promise.resolve(`t${this.asked.length}`);
  who: Who = { subject: "u1" };
  choice: Choice = { consent: null, optedOut: false };
  storing = true;
  stored = new Map<string, string>();
  private readonly memory = new Map<string, string>();
  readonly settled;

  constructor(options: Partial<Options> = {}) {
    const settled = settle({ key: "key", host: "https://help.example", ...options }, "");
    if (!settled) throw new Error("no settings");
    this.settled = settled;
  }
  get name(): string {
    return this.who.subject ?? this.who.anonymousid ?? "";
  }
  mayStore(): boolean {
    return this.storing && (this.choice.consent ?? this.settled.consent !== "required");
  }
  readonly store = {
    get: (name: string): Json | undefined => {
      const text = this.kept().get(name);
      return text === undefined ? undefined : (JSON.parse(text) as Json);
    },
    set: (name: string, value: Json) => void this.kept().set(name, JSON.stringify(value)),
    remove: (name: string) => void this.kept().delete(name),
  };
  private kept(): Map<string, string> {
    return this.mayStore() ? this.stored : this.memory;
  }
  ask: Ask = async (_path, headers = {}, init = {}) => {
    this.requests += 1;
    if (this.answer) return this.answer();
    const whose = this.asked[Number(headers["authorization"]?.slice("Bearer t".length)) - 1]?.who ?? "";
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const stream = new Stream(controller, headers, whose);
        this.streams.push(stream);
        init.signal?.addEventListener("abort", () => stream.cut());
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  tab(): HomeTab {
    return new HomeTab(this);
  }
  /** Somebody signs in or out. */
  be(who: Who): void {
    // As the core does: who signs out, or signs in after somebody else, is forgotten.
    if (this.who.subject) ["help", "stream"].forEach((name) => this.store.remove(name));
    this.who = who;
    this.tabs.forEach((tab) => tab.hear("identity", who));
  }
  choose(change: Partial<Choice>): void {
    this.choice = { ...this.choice, ...change };
    this.tabs.forEach((tab) => tab.hear("choice", this.choice));
  }
  /** All pages go. */
  reload(): void {
    for (const tab of [...this.tabs].reverse()) tab.close();
  }
  end(): void {
    this.reload();
  }
}

const guard =
  <A extends unknown[]>(fn: (...args: A) => void) =>
  (...args: A): void => {
    try {
      fn(...args);
    } catch {
      // A page never hears of it.
    }
  };
