/** Uncaught errors and rejections: which kind, and where; never a value. */
import type { Start } from "../types";
import { tell } from "./tell";

/** Different errors that are told in one page, and how often each. */
const DIFFERENT = 20;
const TIMES = 5;
/** Texts that come from the engine alone; those of all others may hold what somebody typed. */
const ENGINE = /^(TypeError|ReferenceError)$/;

/** Tells of errors that nobody caught. */
export const errors: Start = (page, emit) => {
  const { window, guard } = page;
  const times = new Map<string, number>();
  const note = (kind: string, what: unknown, file = "", line = 0, column = 0): void => {
    const message = template(what);
    const key = `${kind} ${message} ${file} ${line}`;
    const before = times.get(key) ?? 0;
    tell(page, { kind: "error", message: key });
    if (before >= TIMES || (!before && times.size >= DIFFERENT)) return;
    times.set(key, before + 1);
    const data = { kind, message, file: file && page.address(file), line, column, page: page.address(window.location.href) };
    emit({ type: "client.error", data });
  };
  const failed = guard((event: ErrorEvent) => {
    const foreign = !event.filename && !event.error;
    if (!foreign && !/^ResizeObserver/.test(event.message)) note("error", event.error, event.filename, event.lineno, event.colno);
  });
  const rejected = guard((event: PromiseRejectionEvent) => note("rejection", event.reason));
  window.addEventListener("error", failed);
  window.addEventListener("unhandledrejection", rejected);
  return () => {
    window.removeEventListener("error", failed);
    window.removeEventListener("unhandledrejection", rejected);
  };
};

/** `TypeError: Cannot read properties of undefined (reading *`: up to the first value, without numbers. */
export function template(what: unknown): string {
  if (!(what instanceof Error) && !(what instanceof DOMException)) return typeof what;
  const name = /^\w{1,40}$/.test(what.name) ? what.name : "Error";
  if (!ENGINE.test(name)) return name;
  const words = what.message.replace(/(['"`“‘]|https?:).*/s, "*").replace(/\d+/g, "*");
  return `${name}: ${words.slice(0, 120)}`;
}
