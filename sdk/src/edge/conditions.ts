/** Runs conditions that `policy/edge_conditions.py` made, with CEL's exact meaning. An error is an exception. */
import type { Json } from "../types";
import { isMap, numeric, order, type Value, type Values } from "./values";

/** A condition. */
export type Tree = Json;

const fail = (): never => {
  throw 0;
};

/** The value, if it is of a type. */
const only =
  <T extends Value>(type: string) =>
  (value: Value): T =>
    typeof value == type ? (value as T) : fail();
const truth = only<boolean>("boolean");
const text = only<string>("string");

const index = (holder: Value, key: Value): Value => {
  const there = Array.isArray(holder) ? numeric(key) : isMap(holder) && typeof key == "string";
  return there && Object.hasOwn(holder as Values, key as string) ? ((holder as Values)[key as string] as Value) : fail();
};

const equal = (a: Value, b: Value): boolean => {
  if (numeric(a) && numeric(b)) return a == b;
  if (typeof a != "object" || typeof b != "object" || !a || !b || Array.isArray(a) != Array.isArray(b)) return a === b;
  const names = Object.keys(a);
  return (
    names.length == Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && equal((a as Values)[name] as Value, (b as Values)[name] as Value))
  );
};

const compare = (a: Value, b: Value): number => {
  if (typeof a != typeof b && numeric(a) && numeric(b)) [a, b] = [Number(a), Number(b)];
  return typeof a == typeof b && typeof a != "object" ? order(a as string, b as string) : fail();
};

/** Arithmetic of two ints or of two doubles. */
const maths =
  (run: (a: number, b: number) => number, ints = false) =>
  (a: Value, b: Value): Value => {
    if (typeof a == "number" && typeof b == "number" && !ints) return run(a, b);
    if (typeof a != "bigint" || typeof b != "bigint") return fail();
    const made = (run as unknown as (a: bigint, b: bigint) => bigint)(a, b);
    return BigInt.asIntN(64, made) == made ? made : fail();
  };
const plus = maths((a, b) => a + b);

/** What takes the values of its operands. */
const STRICT: Record<string, (...given: Value[]) => Value> = {
  i: (value) => BigInt(value as string),
  "[": (...given) => given,
  "{": (...given) => Object.fromEntries(given as unknown as [string, Value][]),
  ".": (holder, ...fields) => fields.reduce(index, holder),
  "[]": index,
  has: (holder, field) => (isMap(holder) ? Object.hasOwn(holder, field as string) : fail()),
  "!": (value) => !truth(value),
  "==": equal,
  "!=": (a, b) => !equal(a, b),
  "<": (a, b) => compare(a, b) < 0,
  "<=": (a, b) => compare(a, b) <= 0,
  ">": (a, b) => compare(a, b) > 0,
  ">=": (a, b) => compare(a, b) >= 0,
  in(item, holder) {
    if (Array.isArray(holder)) return holder.some((other) => equal(item, other));
    return isMap(holder) && typeof item != "object" ? typeof item == "string" && Object.hasOwn(holder, item) : fail();
  },
  "+": (a, b) => (typeof a == "string" ? a + text(b) : Array.isArray(a) && Array.isArray(b) ? [...a, ...b] : plus(a, b)),
  "-": maths((a, b) => a - b),
  "*": maths((a, b) => a * b),
  "/": maths((a, b) => a / b),
  "%": maths((a, b) => a % b, true),
  size: (value) => BigInt((typeof value == "string" ? [...value] : typeof value == "object" ? Object.keys(value ?? fail()) : fail()).length),
  contains: (a, b) => text(a).includes(text(b)),
  startsWith: (a, b) => text(a).startsWith(text(b)),
  endsWith: (a, b) => text(a).endsWith(text(b)),
  lowerAscii: (value) => text(value).replace(/[A-Z]/g, (letter) => letter.toLowerCase()),
};

/** The value of a tree. */
function run(tree: Tree, names: Values): Value {
  if (!Array.isArray(tree)) return tree as Value;
  const [name, ...args] = tree as [string, ...Tree[]];
  if (name == "$") return (args as string[]).reduce<Value>(index, names);
  const value = (place: number): Value => run(args[place] as Tree, names);
  if (name == "?:") return value(truth(value(0)) ? 1 : 2);
  if (name != "&&" && name != "||") return (STRICT[name] as (...given: Value[]) => Value)(...args.map((_, place) => value(place)));
  // One decisive operand outweighs the errors of others.
  let failed = false;
  const decided = args.some((_, place) => {
    try {
      return truth(value(place)) == (name == "||");
    } catch {
      failed = true;
      return false;
    }
  });
  return decided || !failed ? decided == (name == "||") : fail();
}

/** The value of a condition, `undefined` where it errors. */
export function evaluate(tree: Tree, names: Values): Value | undefined {
  try {
    return run(tree, names);
  } catch {
    return undefined;
  }
}
