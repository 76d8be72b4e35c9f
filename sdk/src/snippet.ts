/**
 * What a page carries before the SDK has come: calls are kept, in order, and made when it is there.
 * The build writes it to `snippet.js`; the page says host and options after it.
 */

/** A call that waits, and what the SDK answered when it was made. */
type Call = [word: string, given: unknown[], answer?: () => void];

interface Stub extends Array<Call> {
  [word: string]: unknown;
}

((page: Window & { forestall?: unknown; analytics?: unknown }) => {
  if (page.forestall) return;
  const stub = [] as unknown as Stub;
  page.forestall = stub;
  page.analytics ??= stub;
  const words = "identify track page group alias reset flush optIn optOut consent on trigger suppress ready";
  for (const word of words.split(" ")) {
    stub[word] = (...given: unknown[]) => {
      const call: Call = [word, given];
      if (stub.length < 200) stub.push(call);
      // What the SDK would answer: a promise to `flush`, to `on` and `suppress` what ends them.
      return word == "flush" ? Promise.resolve() : () => (call[2] ? call[2]() : (call[0] = ""));
    };
  }
  let begun: unknown;
  stub["init"] = (options?: { host?: unknown; integrity?: string } | null) => {
    // The snippet stands in the page itself: without a host there is nowhere to fetch from.
    if (begun || typeof options?.host != "string") return;
    begun = stub.unshift(["init", [options]]);
    const src = `${options.host}/sdk/forestall.js`;
    const { integrity = "" } = options;
    const script = document.createElement("script");
    Object.assign(script, { src, integrity, crossOrigin: "anonymous" });
    // A script that is slow to come holds up the page's load event; what is only preloaded does not.
    const link = document.createElement("link");
    const onload = (): void => document.head.append(script);
    if (link.relList.supports("preload")) {
      Object.assign(link, { rel: "preload", as: "script", href: src, integrity, crossOrigin: "anonymous", onload });
      document.head.append(link);
    } else onload();
  };
})(window);

export {};
