/** Fetches the bundle of the later signals, once the page has loaded: the page comes first. */
import type { Page, Settled, SignalName, Start } from "../types";

/** All signals but `errors`, which must be there from the start. */
export type LateStarts = Record<Exclude<SignalName, "errors">, Start>;

/** Where the bundle leaves its signals. */
export const LATE = Symbol.for("forestall.signals");

/** The bundle's hash; filled in by the build. */
declare const SIGNALS_INTEGRITY: string | undefined;

let loading: Promise<LateStarts> | undefined;

/** The later signals; never settles where the bundle cannot be had. */
export function load(page: Page, settled: Settled): Promise<LateStarts> {
  const { document, window } = page;
  return (loading ??= new Promise((resolve) => {
    const begin = page.guard(() => {
      const script = document.createElement("script");
      script.src = `${settled.host}/sdk/forestall-signals.js`;
      script.async = true;
      script.crossOrigin = "anonymous";
      if (typeof SIGNALS_INTEGRITY === "string") script.integrity = SIGNALS_INTEGRITY;
      script.nonce = document.querySelector<HTMLScriptElement>("script[nonce]")?.nonce ?? "";
      script.onload = () => {
        const starts = (window as unknown as Record<symbol, LateStarts | undefined>)[LATE];
        if (starts) resolve(starts);
      };
      document.head.append(script);
    });
    if (document.readyState === "complete") begin();
    else window.addEventListener("load", begin, { once: true });
  }));
}
