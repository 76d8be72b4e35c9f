/** Where a hint goes: beside its element, never on it, within what is in sight. */

/** A rectangle in pixels from the top left of what is in sight. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Width and height in pixels. */
export type Size = Pick<Box, "width" | "height">;

/** The side of the element on which a hint is. */
export type Side = "bottom" | "top" | "left" | "right";

/** Where a hint goes; `arrow`: how far its tip is from the hint's left or top edge. */
export interface Place {
  side: Side;
  left: number;
  top: number;
  arrow: number;
}

/** Pixels between the element and the hint, and between the hint and the edges. */
export const GAP = 14;
const EDGE = 8;
/** The tip stays so far from the hint's corners. */
const CORNER = 22;

/**
 * The place of a hint of this size, on side `last` if it fits there still; `null` where it fits nowhere. It is
 * beside all of `free`, the element and what belongs to it, and its tip points at `target`.
 */
export function place(target: Box, hint: Size, sight: Size, rtl: boolean, last?: Side, free = target): Place | null {
  const right = free.left + free.width;
  const bottom = free.top + free.height;
  const room: Record<Side, boolean> = {
    bottom: sight.height - EDGE - bottom - GAP >= hint.height,
    top: free.top - GAP - EDGE >= hint.height,
    left: free.left - GAP - EDGE >= hint.width,
    right: sight.width - EDGE - right - GAP >= hint.width,
  };
  const wide = sight.width - 2 * EDGE >= hint.width;
  const high = sight.height - 2 * EDGE >= hint.height;
  const order: Side[] = rtl ? ["left", "bottom", "top", "right"] : ["right", "bottom", "top", "left"];
  const side = [...(last ? [last] : []), ...order].find((one) => room[one] && (upright(one) ? wide : high));
  if (!side) return null;
  const middle = upright(side) ? target.left + target.width / 2 : target.top + target.height / 2;
  const [length, most] = upright(side) ? [hint.width, sight.width] : [hint.height, sight.height];
  const along = between(middle - length / 2, EDGE, most - EDGE - length);
  const across = { bottom: bottom + GAP, top: free.top - GAP - hint.height, left: free.left - GAP - hint.width, right: right + GAP }[side];
  return {
    side,
    left: upright(side) ? along : across,
    top: upright(side) ? across : along,
    arrow: between(middle - along, CORNER, length - CORNER),
  };
}

/** What is left of `box` within `other`; `null` where they do not meet. */
export function within(box: Box, other: Box): Box | null {
  const left = Math.max(box.left, other.left);
  const top = Math.max(box.top, other.top);
  const width = Math.min(box.left + box.width, other.left + other.width) - left;
  const height = Math.min(box.top + box.height, other.top + other.height) - top;
  return width > 0 && height > 0 ? { left, top, width, height } : null;
}

/** The smallest rectangle around both. */
export function around(one: Box, other: Box): Box {
  const left = Math.min(one.left, other.left);
  const top = Math.min(one.top, other.top);
  const width = Math.max(one.left + one.width, other.left + other.width) - left;
  return { left, top, width, height: Math.max(one.top + one.height, other.top + other.height) - top };
}

const upright = (side: Side): boolean => side === "bottom" || side === "top";
const between = (value: number, least: number, most: number): number => Math.max(least, Math.min(value, most));
