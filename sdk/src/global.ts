/** The bundle for a script tag: `forestall` and, where the page has none of its own, `analytics`. */
import * as api from "./index";

type Calls = ArrayLike<[string, unknown[]]>;

const page = window as unknown as { forestall?: unknown; analytics?: unknown };
const stub = page.forestall;
page.forestall = api;
if (!page.analytics || page.analytics === stub) page.analytics = api;
if (Array.isArray(stub)) {
  for (const [word, given] of Array.from(stub as Calls)) {
    try {
      (api as unknown as Record<string, (...given: unknown[]) => void>)[word]?.(...given);
    } catch {}
  }
}
