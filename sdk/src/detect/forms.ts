/** Forms that are given up, and forms that refuse somebody again and again. */
import type { Detector, Interaction, Signal } from "../types";

/** Fields somebody filled before a form counts as begun, and milliseconds spent on it. */
const FIELDS = 2;
const BEGUN = 2000;
/** Milliseconds in which somebody who went elsewhere may come back. */
const RETURN = 30_000;
/** Refused tries: of one field; of a form. */
const FIELD_TRIES = 3;
const FORM_TRIES = 4;
/** What is refused so long after a try belongs to it. */
const REFUSED = 5000;
const FORGET = 300_000;
const MEMORY = 10;

interface Form {
  name: string;
  fields: readonly string[];
  first: number;
  last: number;
  lastField: string;
  /** Sent, saved, or working at once. */
  done: boolean;
  /** When the person went elsewhere; 0 while here. */
  left: number;
  /** Refused tries in a row, and those of each field. */
  tries: number;
  refused: Readonly<Record<string, number>>;
  told: boolean;
}

/** What is remembered of forms; bounded. */
export interface Forms {
  forms: readonly Form[];
  /** Where the caret is; what fills itself is not filled by somebody. */
  focus: string;
  /** The latest try to send something: when, and the fields it was refused for. */
  tried: number;
  blamed: readonly string[];
  /** The form that was used last. */
  form: string;
  /** A request that may save something. */
  saving: string | number;
}

/** Finds abandonment and validation loops. */
export const forms: Detector<Forms> = {
  initial: { forms: [], focus: "", tried: -REFUSED, blamed: [], form: "", saving: "" },
  step(before, next) {
    const [state, found] = gone(before, next.at, RETURN);
    switch (next.kind) {
      case "focus":
        return [{ ...back(state, next.form), focus: key(next), form: next.form }, found];
      case "input":
        return [typed(state, next), found];
      case "click":
        return [next.target.interactive ? tried(sent(state, next.form), next.at) : state, found];
      case "enter":
        return [tried(state, next.at), found];
      case "submit":
        return [tried({ ...sent(state, next.form), form: next.form }, next.at), found];
      case "invalid":
        return refused(state, next.form, next.field, next.at, found);
      case "request":
        return requested(state, next, found);
      case "navigation": {
        return [{ ...state, forms: state.forms.map((one) => (one.left ? one : { ...one, left: next.at })), tried: -REFUSED }, found];
      }
      case "leave":
        return left(state, next.at, found);
      default:
        return [state, found];
    }
  },
};

const key = ({ form, field }: { form: string; field: string }): string => `${form} ${field}`;

function change(state: Forms, name: string | undefined, how: (form: Form) => Form): Forms {
  return { ...state, forms: state.forms.map((one) => (one.name === name ? how(one) : one)) };
}

const back = (state: Forms, name: string): Forms => change(state, name, (one) => ({ ...one, left: 0 }));

/** Something was sent, or a button of the form was used: it is not given up, unless it is refused. */
function sent(state: Forms, name: string | undefined): Forms {
  if (!name) return state;
  return { ...state, forms: state.forms.map((one) => (one.name === name || one.left ? { ...one, done: true, left: 0 } : one)) };
}

function typed(state: Forms, next: Extract<Interaction, { kind: "input" }>): Forms {
  const { at, form: name, field } = next;
  if (!name || state.focus !== key(next)) return state;
  const known = state.forms.find((one) => one.name === name) ?? {
    name, fields: [], first: at, last: at, lastField: field, done: false, left: 0, tries: 0, refused: {}, told: false,
  };
  const fields = known.fields.includes(field) ? known.fields : [...known.fields, field].slice(-50);
  const form = { ...known, fields, last: at, lastField: field, done: next.live === true, left: 0 };
  return { ...state, form: name, forms: [...state.forms.filter((one) => one.name !== name), form].slice(-MEMORY) };
}

/** One try after another: a form that was not refused the last time starts anew. */
function tried(state: Forms, at: number): Forms {
  return at - state.tried < 500 ? state : { ...state, tried: at, blamed: [] };
}

function refused(
  state: Forms, name: string, field: string, at: number, found: readonly Signal[],
): readonly [Forms, readonly Signal[]] {
  const blame = key({ form: name, field });
  if (at - state.tried > REFUSED || state.blamed.includes(blame)) return [state, found];
  const first = !state.blamed.some((one) => one.startsWith(`${name} `));
  const known = state.forms.find((one) => one.name === name) ?? {
    name, fields: [], first: at, last: at, lastField: field, done: true, left: 0, tries: 0, refused: {}, told: false,
  };
  const fresh = at - known.last > FORGET;
  const times = (fresh ? 0 : (known.refused[field] ?? 0)) + 1;
  const tries = (fresh ? 0 : known.tries) + (first ? 1 : 0);
  const stuck = !known.told && (times >= FIELD_TRIES || tries >= FORM_TRIES);
  const form = {
    ...known, tries, last: Math.max(known.last, at), done: known.fields.length === 0,
    refused: { ...(fresh || Object.keys(known.refused).length > 50 ? {} : known.refused), [field]: times }, told: known.told || stuck,
  };
  const forms = [...state.forms.filter((one) => one.name !== name), form].slice(-MEMORY);
  const signal = { type: "client.form.stuck", data: { form: name, field, tries: Math.max(times, tries) } };
  return [{ ...state, forms, blamed: [...state.blamed, blame].slice(-50) }, stuck ? [...found, signal] : found];
}

function requested(
  state: Forms, next: Extract<Interaction, { kind: "request" }>, found: readonly Signal[],
): readonly [Forms, readonly Signal[]] {
  const { id, phase, method = "GET", status = 0, at } = next;
  if (phase === "start") return [/^(GET|HEAD)$/.test(method) ? state : { ...state, saving: id }, found];
  if (id !== state.saving) return [state, found];
  if (status >= 200 && status < 400) return [{ ...sent(state, state.form), saving: "" }, found];
  return status >= 400 && status < 500 ? refused({ ...state, tried: at - 1 }, state.form, "", at, found) : [state, found];
}

/** Forms whose person went elsewhere for long enough. */
function gone(state: Forms, at: number, wait: number): [Forms, readonly Signal[]] {
  const lost = state.forms.filter((one) => one.left && at - one.left >= wait);
  if (!lost.length) return [state, []];
  return [{ ...state, forms: state.forms.filter((one) => !lost.includes(one)) }, lost.flatMap(abandoned)];
}

function left(state: Forms, at: number, found: readonly Signal[]): readonly [Forms, readonly Signal[]] {
  const all = state.forms.map((one) => ({ ...one, left: one.left || at }));
  const [after, more] = gone({ ...state, forms: all }, at, 0);
  return [after, [...found, ...more]];
}

function abandoned({ name, fields, first, last, lastField, done }: Form): Signal[] {
  if (done || fields.length < FIELDS || last - first < BEGUN) return [];
  const seconds = Math.round((last - first) / 1000);
  return [{ type: "client.form.abandoned", data: { form: name, fields: fields.length, seconds, last: lastField } }];
}
