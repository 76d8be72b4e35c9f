/** Has the bundle that receives messages fetched, once the page has loaded. */
import { later } from "../signals/load";
import type { Beginning } from "./types";

/** The bundle's hash; filled in by the build. */
declare const HELP_INTEGRITY: string;

/** Begins when the bundle is there. */
export const help: Beginning = (inside) =>
  later<Beginning>(inside.page, "help", HELP_INTEGRITY, (begin) => begin(inside));
