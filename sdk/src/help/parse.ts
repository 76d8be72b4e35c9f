/** Server-sent events as they come, in pieces of any size (HTML Living Standard, 9.2). Pure. */

/** One event: its name, its data, and the id to resume after, where it has one. */
export interface Told {
  event: string;
  data: string;
  id?: string;
}

/** What `chunk` completes, and what is left for the next one. `rest` is "" at first. */
export function parse(rest: string, chunk: string): { told: Told[]; rest: string } {
  const text = rest + chunk;
  // The "\n" of a "\r" at the end may come next.
  const cut = text.endsWith("\r") ? text.length - 1 : text.length;
  const blocks = text.slice(0, cut).replace(/\r\n?/g, "\n").split("\n\n");
  const left = (blocks.pop() ?? "") + text.slice(cut);
  return { told: blocks.map(read).filter((one) => one.data), rest: left };
}

function read(block: string): Told {
  const told: Told = { event: "message", data: "" };
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const [, name, value = ""] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
    if (name === "event") told.event = value;
    if (name === "id") told.id = value;
    if (name === "data") data.push(value);
  }
  return { ...told, data: data.join("\n") };
}
