/** Names of events as the gateway knows them: the rules of Segment's calls. */

/** `Payment Failed`, `payment_failed` and `paymentFailed` become `payment.failed`. */
export function eventType(name: string): string {
  if (name.startsWith("forestall.")) return name;
  const apart = name.replace(/([a-z0-9])(?=[A-Z])/g, "$1 ").toLowerCase();
  return (apart.match(/[\p{L}\p{N}]+/gu) ?? []).join(".");
}
