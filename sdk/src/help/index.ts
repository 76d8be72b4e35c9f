/** Receives messages, shows one at a time in all tabs, and tells what became of them. */
import type { Data, Json, Stop, Who } from "../types";
import { showing } from "./interface";
import { fresh, type Input, step, visible } from "./showing";
import { type Stream, stream } from "./stream";
import type { Beginning, EdgeBeginning, Message } from "./types";

/** The bundle's hash; filled in by the build. */
declare const EDGE_INTEGRITY: string;

const name = ({ subject, anonymousid }: Who): string => (subject ? `s${subject}` : `a${anonymousid ?? ""}`);

/** What tabs tell each other. */
type News = { of: string; input: Input | { kind: "ask" } | { kind: "gone" } };

/** What the next page has to know; times on the wall clock. */
interface Kept {
  of?: string;
  done?: string[];
  marks?: string[];
  /** Messages that were made on this device. */
  local?: [Message, number][];
  leftOut?: [string, number][];
}

/** Begins in one tab; see `Beginning`. */
export const begin: Beginning = (inside) => {
  const { page, settled, store } = inside;
  const { window } = page;
  const now = page.now;
  let state = fresh("", inside.held());
  /** The connection, whose it is, and whether all that holds has come over it. */
  let line: { of: string; stream: Stream; whole: boolean } | undefined;
  let edge: Stop | undefined;
  let asked = false;
  /** Who signed out in another tab. Where nothing may be kept, tabs do not share who it is. */
  let gone = "";
  let away = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stops: Stop[] = [];
  const view = showing(inside, () => state, told, take);

  /** Whether this person may be helped, here and now. */
  const permitted = (): boolean => {
    const { consent, optedOut } = inside.choice();
    return !away && !optedOut && (consent ?? settled.consent !== "required") && (inside.mayStore() || (asked && gone !== name(inside.who())));
  };

  /** Something happened in this tab, or `from` another. */
  function take(input: Input): void {
    state = step(state, input, now());
    render();
    // Elsewhere the person said no; a fresh pass says how they stand.
    if (input.kind !== "withdraw" || !input.everything || !edge) return;
    edge();
    store.remove("edge");
    edge = decide();
  }
  function render(): void {
    clearTimeout(timer);
    const mine = permitted() && state.of === name(inside.who());
    view(mine ? visible(state, now()) : undefined, !mine);
    const next = Math.min(...state.open.map(({ until }) => until));
    if (mine && next < Infinity) timer = setTimeout(page.guard(() => take({ kind: "tick" })), Math.min(next - now() + 1, 2 ** 31 - 1));
  }
  function tell(input: News["input"]): void {
    inside.tell({ help: { of: state.of, input } as unknown as Json });
  }
  /** Takes what other tabs have to know as well, and keeps what the next page has to know. */
  function told(input: Input): void {
    take(input);
    if (!state.of) return;
    tell(input);
    keep();
  }
  /** Tells a tab that came later what is open: it cannot ask the server. */
  function share(): void {
    const open = state.open.map(({ message, until, local }) => ({ message: rested(message, until - now()), local }));
    tell({ kind: "whole", open });
  }
  function keep(): void {
    const wall = Date.now() - now();
    const local = state.open.filter((one) => one.local).map(({ message, until }) => [message, wall + until]);
    const leftOut = Object.entries(state.leftOut).map(([policy, until]) => [policy, wall + until]);
    const { of, done, marks } = state;
    store.set("help", { of, done, marks, local, leftOut } as unknown as Json);
  }
  /** Begins anew with the person at this device: nothing of the former one is left. */
  function meet(of: string): void {
    state = fresh(of, inside.held());
    view(undefined, true);
    const kept = (store.get("help") ?? {}) as Kept;
    if (kept.of !== of) return;
    state = fresh(of, inside.held(), kept.done, kept.marks);
    for (const [policy, until] of kept.leftOut ?? []) take({ kind: "leaveOut", policy, milliseconds: until - Date.now() });
    for (const [message, until] of kept.local ?? []) {
      take({ kind: "message", message: rested(message, until - Date.now()), local: true });
    }
  }

  /** Connects, stays connected or ends, as who it is and what they chose says. */
  function update(): void {
    const may = permitted();
    const of = may ? name(inside.who()) : "";
    if (of !== state.of) {
      meet(of);
      if (may) tell({ kind: "ask" });
    }
    const wanted = may && (inside.leads() || !inside.mayStore()) ? of : "";
    if (wanted !== (line?.of ?? "")) {
      line?.stream.stop();
      line = wanted ? { of, stream: connect(of), whole: false } : undefined;
    }
    if (may && settled.edge) edge ??= decide();
    else {
      edge?.();
      edge = undefined;
    }
  }
  function connect(of: string): Stream {
    return stream({
      ask: inside.ask,
      token: inside.token,
      kept: () => {
        const [whose, ...kept] = (store.get("stream") ?? []) as Json[];
        return whose === of ? kept : undefined;
      },
      keep: (...kept) => store.set("stream", [of, ...kept]),
      now: () => Date.now(),
      chance: Math.random,
      heard: page.guard(({ event, data }) => {
        if (of !== name(inside.who())) return update();
        const input = read(event, JSON.parse(data) as Data);
        if (!input) return;
        told(input);
        if (line && input.kind === "current") line.whole = true;
      }),
    });
  }
  function decide(): Stop {
    let stop: Stop | undefined;
    let stopped = false;
    void inside.load<EdgeBeginning>("edge", EDGE_INTEGRITY).then(
      page.guard((edges: EdgeBeginning) => {
        if (stopped) return;
        stop = edges(inside, {
          show: (message) => told({ kind: "message", message, local: true }),
          leaveOut: (policy, milliseconds) => told({ kind: "leaveOut", policy, milliseconds }),
        });
      }),
    );
    return () => {
      stopped = true;
      stop?.();
    };
  }

  const listen = (type: string, listener: (event: Event) => void): void => {
    const guarded = page.guard(listener);
    window.addEventListener(type, guarded);
    stops.push(() => window.removeEventListener(type, guarded));
  };
  listen("pagehide", () => {
    away = true;
    update();
  });
  listen("pageshow", () => {
    away = false;
    update();
  });
  listen("online", () => line?.stream.online());
  const end = (): void => {
    away = true;
    update();
    stops.splice(0).forEach((stop) => stop());
  };
  stops.push(
    inside.on("identity", () => {
      gone = "";
      if (state.of && state.of !== name(inside.who())) tell({ kind: "gone" });
      update();
    }),
    inside.on("choice", ({ optedOut }) => {
      if (optedOut) told({ kind: "withdraw", everything: true, interventions: [] });
      update();
    }),
    inside.on("leads", update),
    inside.on("suppress", ({ held }) => take({ kind: "hold", held })),
    inside.on("trigger", () => {
      asked = true;
      update();
    }),
    inside.on("off", end),
    inside.on("news", ({ help }) => {
      const { of, input } = help as unknown as News;
      if (of !== state.of || !of) return;
      if (input.kind === "gone") {
        gone = of;
        update();
      } else if (input.kind !== "ask") take(input);
      else if (line?.whole) share();
    }),
  );
  update();
  return end;
};

/** `message` with what is left of its time. */
const rested = (message: Message, milliseconds: number): Message =>
  Number.isFinite(milliseconds) ? { ...message, expires_in: milliseconds } : message;

/** What an event of the stream says. */
function read(event: string, data: Data): Input | undefined {
  if (event === "message") return { kind: "message", message: data as unknown as Message, local: false };
  if (event === "current") return { kind: "current", ids: data["ids"] as string[] };
  if (event !== "withdraw") return undefined;
  return { kind: "withdraw", everything: data["everything"] === true, interventions: (data["interventions"] ?? []) as string[] };
}

(globalThis as unknown as Record<symbol, Beginning>)[Symbol.for("forestall.help")] = begin;
