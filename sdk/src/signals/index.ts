/** The signals, by name: each notices one kind of trouble, and can be switched off. */
import type { SignalName, Start } from "../types";

/** What `client` starts where a person does not mind. */
export const starts: Partial<Record<SignalName, Start>> = {};
