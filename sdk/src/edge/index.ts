/** Decides policies on this device: fetches what the server signed for it, keeps it, and watches the time. */
import type { EdgeBeginning, Happened, Message } from "../help/types";
import type { Data, Json } from "../types";
import { fresh, step } from "./engine";
import { open } from "./signed";
import type { Bundle, Decision, Happening, Pass, State, Words } from "./types";
import { read, write } from "./values";
import { render } from "./words";

/** Milliseconds for which what was fetched is not fetched again. */
const FRESH = 300_000;
/** Milliseconds after which it is tried again at first; longer from one failure to the next. */
const RETRY = 2000;

/** What is kept on the device, under this name: whose it is, the bundle, the pass, by how much the server's time is ahead, and when they were fetched. */
const NAME = "edge";
type Kept = [of?: string, bundle?: Json, pass?: Json, ahead?: number, at?: number];
/** And whose state, and that. */
const STATE = "progress";

/** The hash of the interface's bundle; filled in by the build. */
declare const UI_INTEGRITY: string;

interface Rules {
  of: string;
  bundle: Bundle;
  pass: Pass;
  /** Milliseconds to add to `page.now()` for the server's time: a clock that the person sets changes nothing. */
  origin: number;
}

/** The state, whose it is, and the text that the device had last: another one means that another tab went on. */
interface Mind {
  of: string;
  state: State;
  text: string;
}

/** Begins in one tab; see `EdgeBeginning`. */
export const begin: EdgeBeginning = (inside, { show, leaveOut }) => {
  const { page, settled, store, ask } = inside;
  let rules: Rules | undefined;
  let mind: Mind | undefined;
  let saving = false;
  let stopped = false;
  let failures = 0;
  let due: ReturnType<typeof setTimeout> | undefined;
  let next: ReturnType<typeof setTimeout> | undefined;
  const me = (): string => JSON.stringify(inside.who());
  const kept = (): Kept => {
    const found = store.get(NAME) as Kept | undefined;
    return found?.[0] === me() ? found : [];
  };

  function recall(of: string): Mind {
    const [whose, text = ""] = (store.get(STATE) ?? []) as string[];
    return mind?.of == of && mind.text == text ? mind : { of, text, state: whose == of && text ? (read(text) as State) : fresh() };
  }
  function save(): void {
    saving = false;
    if (mind?.of == me()) store.set(STATE, [mind.of, (mind.text = write(mind.state))]);
  }

  /** One event, or the time alone: what is to be told of it. */
  function decide(event?: Happening, wall = Date.now()): { type: string; data: Data }[] {
    const by = rules;
    if (!by) return [];
    const { bundle, pass, origin, of } = by;
    const now = Math.floor(origin + page.now()) * 1000;
    if (of !== me() || now >= Math.min(bundle.expires, pass.expires)) return [];
    const had = recall(of);
    // What a step broke off is not gone by.
    mind = undefined;
    const made = step(bundle, pass, had.state, now, event);
    mind = had;
    // Once in a turn of the page, but what was decided is kept before anybody sees it.
    if (made.decisions.length) save();
    else if (!saving) {
      saving = true;
      queueMicrotask(page.guard(save));
    }
    clearTimeout(due);
    if (made.deadline < Infinity) {
      // A tab that does not lead comes later: then it is done.
      const left = (made.deadline - now) / 1000 + (inside.leads() ? 1 : 1000);
      due = setTimeout(page.guard(watch), Math.min(left, 2 ** 31 - 1));
    }
    return made.decisions
      .filter(({ outcome }) => outcome != "suppress")
      .map((one) => {
        const { policy, key, outcome, reason, matched } = one;
        // Not later than the event that tells it, by the device's own clock.
        const at = one.at - Math.max(0, now - wall * 1000);
        if (outcome == "intervene") {
          leaveOut(policy.name, policy.cooldown / 1000);
          void say(one, at, by, (one.at + policy.valid_for - now) / 1000).catch(() => {});
        }
        const data = { policy: policy.name, version: policy.version, key, at, outcome, reason, matched: matched as Json };
        return { type: "forestall.edge.decided", data };
      });
  }
  const watch = (): void => decide().forEach(({ type, data }) => inside.take(type, data));

  /** Shows the message of a decision, under the id that the server gives the decision. */
  async function say(one: Decision, at: number, { of, pass: { subject } }: Rules, expires_in: number): Promise<void> {
    const { policy, key, matched } = one;
    const { name, version, message } = policy;
    const filled = JSON.parse(JSON.stringify(message), (_, words: unknown) => (typeof words == "string" ? render(words, one) : words)) as Words;
    const named = JSON.stringify([version, subject, key, new Date(at / 1000).toISOString().replace("Z", "000Z"), matched]);
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(named));
    const intervention = [...new Uint8Array(hash)].map((byte) => (byte + 256).toString(16).slice(1)).join("");
    const told: Message = { why: "", ...filled, id: `${intervention}.1`, intervention, policy: name, version, step: 1, expires_in };
    // Meanwhile somebody else may have come.
    if (expires_in > 0 && of == me() && !stopped) show(told);
  }

  async function fetched(path: string, headers?: Record<string, string>): Promise<string> {
    const response = await ask(`edge/${path}`, headers, { cache: "no-cache" });
    if (!response.ok && response.status != 404) throw 0;
    return response.ok ? response.text() : "";
  }

  /** Fetches where that is due, and goes by what it has. */
  async function refresh(): Promise<void> {
    const [of, key] = [me(), settled.edge ?? ""];
    let [, bundle, pass, ahead, at = 0] = kept();
    const age = Date.now() - at;
    try {
      if (!(age >= 0 && age < FRESH)) {
        const token = await inside.token();
        if (!token) throw 0;
        const fresh = await fetched("bundle");
        pass = fresh && (await fetched("pass", { authorization: `Bearer ${token}` }));
        [bundle, ahead, at] = [fresh, undefined, Date.now()];
      }
    } catch {}
    let found: Rules | undefined;
    try {
      const mine = await open<Pass>(key, "pass", pass);
      const known = await open<Bundle>(key, "bundle", bundle);
      const now = Date.now();
      // It was issued just now; of a clock that was set back since, nothing is known.
      ahead ??= mine.issued / 1000 - now;
      if (JSON.stringify(mine.who) == of && now >= at) found = { of, bundle: known, pass: mine, origin: now + ahead - page.now() };
    } catch {}
    // Who came meanwhile has a turn of their own, and nothing of the one before is kept.
    if (stopped || of != me()) return;
    rules = found;
    // What the server no longer offers is not gone by offline either.
    if (found || bundle === "") store.set(NAME, [of, ...(found ? [bundle, pass, ahead, at] : [])] as Json);
    try {
      if (found) {
        // Offline, the interface could not be fetched any more.
        void inside.load("ui", UI_INTEGRITY);
        watch();
      }
    } catch {
      // What was kept is damaged, or another version's.
      store.remove(STATE);
    }
    failures = found ? 0 : failures + 1;
    clearTimeout(next);
    next = setTimeout(again, found ? FRESH : Math.min(FRESH, RETRY * 2 ** failures) * (1 - Math.random() / 2));
  }
  const again = page.guard(() => void refresh());

  const meet = inside.on("identity", () => {
    rules = mind = undefined;
    if (!kept()[0]) [NAME, STATE].forEach(store.remove);
    again();
  });
  inside.deciding(({ id, source, type, time, data, who }: Happened) =>
    JSON.stringify(who) == me() ? decide({ id, source, type, origin: "browser", data }, Date.parse(time)) : [],
  );
  again();
  return () => {
    stopped = true;
    rules = undefined;
    clearTimeout(due);
    clearTimeout(next);
    meet();
    inside.deciding(() => []);
  };
};

(globalThis as unknown as Record<symbol, EdgeBeginning>)[Symbol.for("forestall.edge")] = begin;
