/** Features: exact sliding windows over one person's events. */
import type { Feature, Kept } from "./types";
import { numeric, order, type Value } from "./values";

const REMEMBERED = 10_000;

/** Keys kept per feature, or pattern. */
export const KEYS = 64;

const within = (kept: Kept[], over = Infinity, at: number): Kept[] => kept.filter((one) => one[0] > at - over);

/** What is remembered after one more event, at its time; unchanged where its value takes no part. */
export function remember({ kind, over }: Feature, kept: Kept[], [t, key, value]: [number, string | null, Value | undefined]): Kept[] {
  const fits = /^([mp]|sum|avg)/.test(kind) ? numeric(value) && (typeof value == "bigint" || Number.isFinite(value)) : value != null;
  if (!fits || (kind == "distinct" && typeof value == "object")) return kept;
  const newest = kind == "last" || kind == "since";
  const all = within(kept, over, t).filter((one) => !newest || one[1] != key);
  all.push([t, key, value as Value]);
  const oldest = [...new Set(all.map((one) => one[1]).reverse())][KEYS];
  return all.filter((one) => oldest === undefined || one[1] != oldest).slice(-REMEMBERED);
}

/** The feature at a time; `key` is that of the event being decided. */
export function valueAt({ kind, over, by }: Feature, kept: Kept[], key: string | null, at: number): Value {
  const those = within(kept, over, at).filter((one) => by === undefined || (key !== null && one[1] == key));
  const values = those.map((one) => one[2]);
  const { length } = values;
  if (kind == "count") return BigInt(length);
  if (kind == "distinct") return BigInt(new Set(values.map((one) => (one !== one ? {} : Number.isInteger(one) ? BigInt(one as number) : one))).size);
  if (kind == "sum" || (kind == "avg" && length)) return mean(values as number[], kind == "avg" ? length : 1);
  if (!length) return null;
  if (kind == "since") return (at - (those.at(-1) as Kept)[0]) / 1e6;
  if (kind == "last" || kind == "first") return values.at(kind == "last" ? -1 : 0) as Value;
  const sorted = (values as number[]).sort(order);
  if (kind == "min") return sorted[0] as number;
  if (kind == "max") return sorted.find((one) => one == sorted.at(-1)) as number;
  return Number(sorted[Math.ceil((Number(kind.slice(1)) * length) / 100) - 1]);
}

/** The double nearest to the exact sum, each value rounded half-even to millionths, divided by `count`. */
function mean(values: (number | bigint)[], count: number): number {
  let sum = 0n;
  for (let value of values) {
    let bits = 0n;
    for (; typeof value == "number" && !Number.isInteger(value); bits++) value *= 2;
    const scaled = BigInt(value) * 2_000_000n;
    const floor = scaled >> bits;
    // Twice the millionths, rounded down: odd means at least half; exactly half goes to the even one.
    const exact = floor << bits == scaled;
    sum += (floor >> 1n) + (floor & 1n && (!exact || (floor & 2n)) ? 1n : 0n);
  }
  const size = sum < 0n ? -sum : sum;
  const under = 1_000_000n * BigInt(count);
  const shift = size >> 200n ? 0n : 128n;
  const whole = (size << shift) / under;
  const made = Number(whole * under == size << shift ? whole : whole | 1n) / 2 ** Number(shift);
  return sum < 0n ? -made : made;
}
