/** What never leaves a page: query strings, fragments, and what is marked or known as private. */

const PRIVATE =
  "[data-private],[type=password],[autocomplete^=cc-],[autocomplete*=' cc-'],[autocomplete*=password],[autocomplete=one-time-code]";

/** `url` without user, fragment and query, but for the parameters named in `queries`; "" if it is none. */
export function address(url: string, base: string, queries: readonly string[]): string {
  try {
    const given = new URL(url, base);
    const { origin, protocol, pathname, searchParams } = given;
    if (!/^https?:$/.test(protocol)) return protocol;
    for (const name of [...searchParams.keys()]) if (!queries.includes(name)) searchParams.delete(name);
    return origin + pathname + given.search;
  } catch {
    return "";
  }
}

/** Whether `element` is, or is under, something whose content is nobody's business. */
export function isPrivate(element: Element): boolean {
  for (let at: Element | null = element; at; at = above(at)) {
    if (at.closest(PRIVATE)) return true;
  }
  return false;
}

/** The host of the shadow tree that `element` is in. */
function above(element: Element): Element | null {
  const root = element.getRootNode();
  return "host" in root ? (root as ShadowRoot).host : null;
}
