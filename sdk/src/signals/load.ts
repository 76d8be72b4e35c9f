/** Fetches what need not be there from the start, once the page has loaded: the page comes first. */
import type { Page, SignalName, Start, Stop } from "../types";

/** All signals but `errors`, which must be there from the start. */
export type LateStarts = Record<Exclude<SignalName, "errors">, Start>;

const loading: Record<string, Promise<unknown> | undefined> = {};

/**
 * What the bundle `forestall-NAME.js` of `host` leaves under `Symbol.for("forestall.NAME")`; never
 * settles where it cannot be had, but another call tries again.
 */
export function load<T>({ document, window, guard }: Page, host: string, name: string, integrity: string): Promise<T> {
  return (loading[name] ??= new Promise((resolve) => {
    const begin = guard(() => {
      const script = document.createElement("script");
      script.src = `${host}/sdk/forestall-${name}.js`;
      script.crossOrigin = "anonymous";
      script.integrity = integrity;
      script.nonce = document.querySelector<HTMLScriptElement>("script[nonce]")?.nonce ?? "";
      script.onload = () => {
        const left = (window as unknown as Record<symbol, T | undefined>)[Symbol.for(`forestall.${name}`)];
        if (left) resolve(left);
      };
      script.onerror = () => (loading[name] = undefined);
      document.head.append(script);
    });
    if (document.readyState === "complete") begin();
    else window.addEventListener("load", begin, { once: true });
  })) as Promise<T>;
}

/** Begins with a bundle when it is there; the answer ends that, or has it never begin. */
export function later<T>(page: Page, host: string, name: string, integrity: string, begin: (what: T) => Stop): Stop {
  let stop: Stop | undefined;
  let stopped = false;
  void load<T>(page, host, name, integrity).then((what) => {
    if (!stopped) page.guard(() => (stop = begin(what)))();
  });
  return () => {
    stopped = true;
    stop?.();
  };
}
