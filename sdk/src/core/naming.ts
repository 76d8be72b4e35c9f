/** Events as the gateway knows them: names by the rules of Segment's calls, data as JSON has it. */
import type { Data } from "../types";

/** `Payment Failed`, `payment_failed` and `paymentFailed` become `payment.failed`. */
export function eventType(name: string): string {
  if (name.startsWith("forestall.")) return name;
  const apart = name.replace(/([a-z0-9])(?=[A-Z])/g, "$1 ").toLowerCase();
  return (apart.match(/[\p{L}\p{N}]+/gu) ?? []).join(".");
}

/** `given` as JSON would have it; what is no object, or goes in circles, becomes `{}`. */
export function clean(given: unknown): Data {
  try {
    const data = JSON.parse(JSON.stringify(given)) as Data | null;
    return typeof data === "object" && data !== null && !Array.isArray(data) ? data : {};
  } catch {
    return {};
  }
}
