/** The way from a signal that saw something to the detectors that watch the page. */
import type { Interaction, Page } from "../types";

/** `Interaction` without `at`. */
export type Bare = Interaction extends infer One ? (One extends Interaction ? Omit<One, "at"> : never) : never;

/** Tells all detectors; the time is in milliseconds that go on from one page to the next. */
export function tell(page: Page, next: Bare): void {
  const at = page.window.performance.timeOrigin + page.now();
  for (const feed of page.watching ?? []) feed({ ...next, at } as Interaction);
}
