/** Words to the person: templates filled in as the server fills them in. */
import type { Decision } from "./types";
import { isMap, lift, type Value } from "./values";

const PLACEHOLDER = /\{\{\s*([\w.]+)\s*(?:\|\s*default\(\s*("(?:[^"\\]|\\.)*")\s*\)\s*)?\}\}/gs;
const CONTROL = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+/gu;

/** The text, `undefined` where a field has neither a value nor a default. */
export function render(template: string, { event, traits, features }: Pick<Decision, "event" | "traits" | "features">): string | undefined {
  const known = { event: lift({ type: event.type, data: event.data }), subject: lift(traits), features };
  let missing = false;
  const made = template.replace(PLACEHOLDER, (_, path: string, otherwise?: string) => {
    const value = path.split(".").reduce<Value | undefined>((of, name) => (isMap(of) && Object.hasOwn(of, name) ? of[name] : undefined), known);
    missing ||= !plain(value) && !otherwise;
    return plain(value) || (JSON.parse(otherwise ?? '""') as string);
  });
  return missing ? undefined : made;
}

/** A scalar as a person writes it; empty for what cannot be shown. */
function plain(value: Value | undefined): string {
  if (typeof value == "boolean") return value ? "yes" : "no";
  if (typeof value == "string") return [...value.replace(CONTROL, " ").trim()].slice(0, 200).join("");
  if (typeof value == "bigint") return String(value);
  if (typeof value != "number" || !Number.isFinite(value)) return "";
  const [size, whole] = [Math.abs(value), Number.isInteger(value)];
  if (size && (size < 1e-4 || size >= 1e16)) return value.toExponential().replace(/(?<=e[+-])(?=\d$)/, "0");
  return String(value) + (whole && size >= 1e15 ? ".0" : "");
}
