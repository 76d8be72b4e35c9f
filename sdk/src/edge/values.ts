/** Values of conditions, as CEL has them: ints are bigints, doubles numbers. */
import type { Json } from "../types";

/** A value; objects are maps with text keys. */
export type Value = null | boolean | number | bigint | string | Value[] | Values;

/** A map. */
export type Values = { [name: string]: Value };

/** Which integers of data are doubles: `true`, or by name, `*` for any other and for items of a list. */
export type Doubles = true | { [name: string]: Doubles };

/** Whether it is an int or a double. */
export const numeric = (value: unknown): value is number | bigint => typeof value == "number" || typeof value == "bigint";

/** Whether it is a map. */
export const isMap = (value: unknown): value is Values => typeof value == "object" && !!value && !Array.isArray(value);

/** JSON as conditions see it: what the server reads as an integer is an int, unless `doubles` names it. */
export const lift = (value: Json, doubles?: Doubles): Value => {
  if (typeof value == "number") return doubles !== true && /^-?\d+$/.test(String(value)) ? BigInt(String(value)) : value;
  const below = doubles as Record<string, Doubles> | undefined;
  const inside = (item: Json, name: string): Value => lift(item, below?.[Object.hasOwn(below, name) ? name : "*"]);
  if (Array.isArray(value)) return value.map((item) => inside(item, "*"));
  return isMap(value) ? Object.fromEntries(Object.entries(value).map(([name, item]) => [name, inside(item as Json, name)])) : value;
};

/** A text that compares as the code points of another do. */
const ordered = (text: string): string => [...text].map((letter) => letter.codePointAt(0)?.toString(36).padStart(4, "0")).join("");

/** Negative, zero or positive, for two of the same kind; not a number where none holds. */
export const order = (a: string | number | bigint | boolean, b: typeof a): number => {
  if (typeof a == "string") [a, b] = [ordered(a), ordered(b as string)];
  return a < b ? -1 : a > b ? 1 : a == b ? 0 : NaN;
};

/** A key: compact JSON, sorted, numbers in their shortest form. */
export const keyText = (value: Value): string => {
  if (Array.isArray(value)) return `[${value.map(keyText).join()}]`;
  if (isMap(value)) {
    const names = Object.keys(value).sort(order);
    return `{${names.map((name) => `${JSON.stringify(name)}:${keyText(value[name] as Value)}`).join()}}`;
  }
  if (!numeric(value)) return JSON.stringify(value);
  const size = Math.abs(Number(value));
  if (typeof value == "bigint" || (size < 2 ** 63 && Number.isInteger(value))) return String(BigInt(value));
  if (size >= 1e-5 && size < 2 ** 63) return String(value);
  return Number.isFinite(value) ? value.toExponential().replace("+", "") : `"${value}"`;
};

const MARK = "\u0001";

/** A state as text; a number that JSON lacks is a text that begins with a mark. */
export const write = (state: object): string =>
  JSON.stringify(state, (_, value: unknown) =>
    typeof value == "bigint" || (typeof value == "string" ? value[0] == MARK : typeof value == "number" && !Number.isFinite(value))
      ? MARK + String(value)
      : value,
  );

/** The state that gave the text. */
export const read = (text: string): unknown =>
  JSON.parse(text, (_, value: unknown) => {
    if (typeof value != "string" || value[0] != MARK) return value;
    const inner = value.slice(1);
    return inner[0] == MARK ? inner : /\d/.test(inner) ? BigInt(inner) : Number(inner);
  });
