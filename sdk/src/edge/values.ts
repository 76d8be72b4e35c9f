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
  if (typeof value == "number") return doubles != true && /^-?\d+$/.test(String(value)) ? BigInt(String(value)) : value;
  const below = doubles as Record<string, Doubles> | undefined;
  if (Array.isArray(value)) return value.map((item) => lift(item, below?.["*"]));
  if (!isMap(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, lift(item as Json, below && (Object.hasOwn(below, name) ? below[name] : below["*"]))]),
  );
};

/** Texts in an order that UTF-16 keeps become texts in the order of their code points. */
const ordered = (text: string): string =>
  text.replace(/[\ud800-\uffff]/g, (unit) => String.fromCharCode(unit.charCodeAt(0) + (unit < "\ue000" ? 0x2000 : -0x800)));

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
    typeof value == "bigint" || (typeof value == "number" && !Number.isFinite(value)) || (typeof value == "string" && value.startsWith(MARK))
      ? MARK + String(value)
      : value,
  );

/** The state that gave the text. */
export const read = (text: string): unknown =>
  JSON.parse(text, (_, value: unknown) => {
    if (typeof value != "string" || !value.startsWith(MARK)) return value;
    const inner = value.slice(1);
    return inner.startsWith(MARK) ? inner : /\d/.test(inner) ? BigInt(inner) : Number(inner);
  });
