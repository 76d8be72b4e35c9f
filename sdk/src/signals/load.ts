/** Fetches what need not be there from the start, once the page has loaded: the page comes first. */
import type { Page, SignalName, Start, Stop } from "../types";

/** All signals but `errors`, which must be there from the start. */
export type LateStarts = Record<Exclude<SignalName, "errors">, Start>;

/** Fetches `forestall-NAME.js`; see `Page`. */
export type Load = Page["load"];

/** Bytes of a bundle, at most. */
const BYTES = 16_000;

/** Fetches from `host`, as long as `afford` says that so many bytes are within the limit. */
export function loads(
  { document, window, guard }: Pick<Page, "document" | "window" | "guard">, host: string, afford: (bytes: number) => boolean,
): Load {
  const loading: Record<string, Promise<unknown> | undefined> = {};
  return <T>(name: string, integrity: string) =>
    (loading[name] ??= new Promise((resolve) => {
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
        const failed = (): void => void (loading[name] = undefined);
        script.onerror = failed;
        if (afford(BYTES)) document.head.append(script);
        else queueMicrotask(failed);
      });
      if (document.readyState === "complete") begin();
      else window.addEventListener("load", begin, { once: true });
    })) as Promise<T>;
}

/** Begins with a bundle when it is there; the answer ends that, or has it never begin. */
export function later<T>({ load, guard }: Page, name: string, integrity: string, begin: (what: T) => Stop): Stop {
  let stop: Stop | undefined;
  let stopped = false;
  void load<T>(name, integrity).then((what) => {
    if (!stopped) guard(() => (stop = begin(what)))();
  });
  return () => {
    stopped = true;
    stop?.();
  };
}
