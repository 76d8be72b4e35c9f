/** The bundle for a script tag: `forestall` and, where the page has none of its own, `analytics`. */
import {
  alias, choice, consent, flush, group, identify, init, on, optIn, optOut, page, ready, reset, suppress, track, trigger,
  user,
} from "./index";

const api = {
  alias, choice, consent, flush, group, identify, init, on, optIn, optOut, page, ready, reset, suppress, track, trigger,
  user,
};

type Calls = ArrayLike<[word: string, given: unknown[], answer?: unknown]>;

const here = window as unknown as { forestall?: unknown; analytics?: unknown };
const stub = here.forestall;
here.forestall = api;
if (!here.analytics || here.analytics === stub) here.analytics = api;
if (Array.isArray(stub)) {
  for (const call of Array.from(stub as Calls)) {
    try {
      call[2] = (api as unknown as Record<string, (...given: unknown[]) => unknown>)[call[0]]?.(...call[1]);
    } catch {}
  }
}
