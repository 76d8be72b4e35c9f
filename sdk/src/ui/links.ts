/** Which addresses in a message are links: only the page's own, over https. All else stays text. */

/** A piece of a text; with `href` it is a link. */
export interface Piece {
  text: string;
  href?: string;
}

const ADDRESS = /https:\/\/[^\s<>"'«»“”]+/g;
const AFTER = /[.,;:!?)\]}…]+$/;

/** `text` in pieces; addresses of `origin` are links. */
export function pieces(text: string, origin: string): Piece[] {
  const found: Piece[] = [];
  let from = 0;
  for (const { 0: match, index } of text.matchAll(ADDRESS)) {
    const address = match.replace(AFTER, "");
    const href = own(address, origin);
    if (!href) continue;
    if (index > from) found.push({ text: text.slice(from, index) });
    found.push({ text: address, href });
    from = index + address.length;
  }
  if (from < text.length) found.push({ text: text.slice(from) });
  return found;
}

function own(address: string, origin: string): string | undefined {
  try {
    const url = new URL(address);
    return url.origin === origin && !url.username && !url.password ? url.href : undefined;
  } catch {
    return undefined;
  }
}
