/** Words to the person: templates filled in as the server fills them in. */
import { evaluate } from "./conditions";
import type { Decision } from "./types";
import { lift, type Value } from "./values";

const PLACEHOLDER = /\{\{\s*([\w.]+)[^"}]*("(?:[^"\\]|\\.)*")?.*?\}\}/gs;
const CONTROL = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+/gu;

/** The text. Throws where a field has neither a value nor a default. */
export function render(template: string, { event: { type, data }, traits, features }: Pick<Decision, "event" | "traits" | "features">): string {
  const known = { event: lift({ type, data }), subject: lift(traits), features };
  return template.replace(PLACEHOLDER, (_, path: string, otherwise?: string) => {
    const text = plain(evaluate(["$", ...path.split(".")], known));
    if (!text && !otherwise) throw 0;
    return text || (JSON.parse(otherwise as string) as string);
  });
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
