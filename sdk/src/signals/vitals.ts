/** Web Vitals: how fast the page shows, answers and stands still. A bundle of its own, for its library. */
import { type Metric, onCLS, onINP, onLCP } from "web-vitals";
import type { Start } from "../types";

/** Tells of LCP, INP and CLS, when they are final. */
export const vitals: Start = (page, emit) => {
  let stopped = false;
  const note = page.guard(({ name, value, rating }: Metric) => {
    if (!stopped) emit({ type: "client.vital", data: { name, value: Math.round(value * 1000) / 1000, rating } });
  });
  onLCP(note);
  onINP(note);
  onCLS(note);
  return () => {
    stopped = true;
  };
};

(globalThis as unknown as Record<symbol, Start>)[Symbol.for("forestall.vitals")] = vitals;
