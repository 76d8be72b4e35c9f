/** Gates and arbitration: the ordered reasons not to act. */
import type { Data } from "../types";
import type { Decision, Pass, Policy, Reason, Settings, State } from "./types";
import { isMap, order } from "./values";

const TEN_YEARS = 3_650 * 86_400_000_000;

/** What the person's standing amounts to: the pass, and what was said on this device since. */
export function standing(pass: Pass, told: State["told"]): Pass {
  // Whoever says `constructor` names a policy, and nothing of JavaScript's.
  const dismissed = Object.assign(Object.create(null), pass.dismissed) as Pass["dismissed"];
  const now: Pass = { ...pass, consent: { ...pass.consent }, dismissed };
  const strict: Record<string, number> = {};
  // At equal times the stricter word stands.
  const stands = (what: string, time: number, strictly: boolean): boolean => {
    if (strictly) strict[what] = time;
    return strictly || strict[what] != time;
  };
  for (const [type, data, time] of told) {
    const said = type.slice(type.lastIndexOf(".") + 1);
    const { traits, purpose, policy } = data;
    if (said == "identify" && isMap(traits)) now.traits = { ...now.traits, ...(traits as Data) };
    const no = said == "optout" || said == "withdrawn";
    if (said.startsWith("opt") && stands("", time, no)) now.opted_out = no;
    if (typeof purpose == "string" && stands(` ${purpose}`, time, no)) now.consent[purpose] = !no;
    if (typeof policy == "string") {
      const [times, never] = now.dismissed[policy] ?? [0, false];
      now.dismissed[policy] = said == "helped" ? [0, never] : [times + 1, never || data.never === true];
    }
  }
  return now;
}

/** The reason of the first gate that refuses. */
export function refusal(policy: Policy, at: number, settings: Settings, now: Pass): Reason | null {
  const { name, cooldown } = policy;
  const since = (acts: number[]): number => at - Math.max(-Infinity, ...acts);
  const waited = since(now.acts.flatMap((act) => (act[0] == name ? act[1] : [])));
  const guidance = policy.budget_class == "guidance" ? now.acts.filter((act) => act[2] == "guidance") : [];
  // The pass may tell of an act that was made here.
  const spent = new Set(guidance.flatMap(([whose, act]) => (act > at - settings.budget_window && act <= at ? whose + act : []))).size;
  const [dismissals, never] = now.dismissed[name] ?? [0, false];
  const gates: [Reason, unknown][] = [
    ["opted_out", now.opted_out],
    ["no_consent", settings.require_consent && !now.consent[policy.purpose]],
    ["in_conversation", now.tickets && policy.in_conversation == "hold"],
    ["cooldown", waited < cooldown],
    ["fatigue", never || (dismissals && waited < Math.min(cooldown * 2 ** dismissals, TEN_YEARS))],
    ["budget", policy.budget_class == "guidance" && spent >= settings.budget],
    ["spacing", since(guidance.map((act) => act[1])) < settings.spacing],
    ["quiet_hours", policy.quiet_hours == "respect" && settings.quiet_hours && isQuiet(at, settings.quiet_hours, [now.traits.timezone, settings.timezone, "UTC"])],
  ];
  return gates.find((gate) => gate[1])?.[0] ?? null;
}

/** Whether the time of day is a quiet one in the first zone that is known. */
function isQuiet(at: number, [start, end]: [number, number], [zone, ...others]: unknown[]): boolean {
  try {
    if (!/^[A-Z]/.test(zone as string)) throw 0;
    const time = new Date(at / 1000).toLocaleTimeString("en-GB", { timeZone: zone as string, timeStyle: "short" });
    const now = Number(time.slice(0, 2)) * 60 + Number(time.slice(3));
    return start <= end ? start <= now && now < end : now >= start || now < end;
  } catch {
    return isQuiet(at, [start, end], others);
  }
}

/** Settles the outcome of each candidate of one moment, in place; sorts them as they are told. */
export function arbitrate(candidates: Decision[], refused: (one: Decision) => Reason | null, { global, policies }: Pass["holdout"]): Decision[] {
  const told = (a: Decision, b: Decision): number => order(a.policy.name, b.policy.name) || order(a.key ?? "", b.key ?? "");
  for (const one of candidates) one.reason = refused(one);
  const passed = candidates.filter((one) => !one.reason).sort((a, b) => b.policy.priority - a.policy.priority || told(a, b));
  let won = false;
  for (const one of passed) {
    const { name, budget_class } = one.policy;
    const kept = policies[name] ? "policy_holdout" : global && budget_class != "transactional" && "global_holdout";
    one.reason = won ? "outranked" : kept || null;
    one.outcome = won ? "suppress" : kept ? "holdout" : "intervene";
    won ||= kept != "policy_holdout";
  }
  return candidates.sort(told);
}
