/** What the server signed: compact JWS (RFC 7515) of Ed25519 (RFC 8037), through WebCrypto. */
import type { Json } from "../types";

const bytes = (part: string | undefined): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob((part ?? "").replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
const json = (part: string | undefined): unknown => JSON.parse(new TextDecoder().decode(bytes(part)));

/** The payload of `jws`, which is a `forestall-edge-KIND` that the owner of the public `key` signed; else rejects. */
export async function open<T>(key: string, kind: string, jws: Json | undefined): Promise<T> {
  const [head, body, signature] = String(jws).split(".");
  const { typ } = json(head) as { typ?: string };
  const owner = await crypto.subtle.importKey("raw", bytes(key), "Ed25519", false, ["verify"]);
  const signed = new TextEncoder().encode(`${head}.${body}`);
  const good = await crypto.subtle.verify("Ed25519", owner, bytes(signature), signed);
  if (!good || typ != `forestall-edge-${kind}`) throw Error(kind);
  return json(body) as T;
}
