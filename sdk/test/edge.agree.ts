/**
 * Runs the engine of pages for `tests/property/test_edge_agrees.py`: a case a line on standard input, an
 * answer a line on standard output. Bundled for Node by that test.
 */
import { type Tree, evaluate } from "../src/edge/conditions";
import { fresh, step } from "../src/edge/engine";
import type { Bundle, Happening, Pass, State } from "../src/edge/types";
import { type Doubles, keyText, lift, read, type Value, type Values, write } from "../src/edge/values";
import { render } from "../src/edge/words";
import type { Data, Json } from "../src/types";

declare const process: {
  stdin: AsyncIterable<string> & { setEncoding: (encoding: string) => void };
  stdout: { write: (text: string) => void };
};

interface History {
  bundle: Bundle;
  /** One pass, or passes with the moment from which each is used. */
  pass: Pass;
  happened: { at: number; event?: Happening }[];
}

interface Condition {
  tree: Tree;
  names: Data;
  doubles?: Doubles;
}

interface Template {
  template: string;
  event: Happening;
  traits: Data;
  features: Data;
}

/** A value with its type, which JSON does not tell. */
const told = (value: Value | undefined): Json =>
  value === undefined ? { error: true } : { type: typeof value, value: keyText(value) };

function decide({ bundle, pass, happened }: History): Json {
  let state = fresh();
  return happened.flatMap(({ at, event }, turn) => {
    // As a device does: sometimes from memory, sometimes from what it kept.
    if (turn % 3 == 2) state = read(write(state)) as State;
    const made = step(bundle, pass, state, at, event);
    return made.decisions.map(({ policy, key, at: when, outcome, reason, matched, features }) => ({
      policy: policy.name,
      version: policy.version,
      key,
      at: when,
      outcome,
      reason,
      matched: matched as Json,
      features: Object.fromEntries(Object.entries(features).map(([name, value]) => [name, told(value)])),
    }));
  });
}

function answer(line: string): Json {
  const asked = JSON.parse(line) as History | Condition | Template;
  if ("bundle" in asked) return decide(asked);
  if ("template" in asked) {
    const { template, event, traits, features } = asked;
    try {
      return render(template, { event, traits, features: lift(features) as Values });
    } catch {
      return null;
    }
  }
  return told(evaluate(asked.tree, lift(asked.names, asked.doubles) as Values));
}

process.stdin.setEncoding("utf8");
let rest = "";
for await (const some of process.stdin) {
  const lines = (rest + some).split("\n");
  rest = lines.pop() ?? "";
  process.stdout.write(lines.map((line) => `${JSON.stringify(answer(line))}\n`).join(""));
}
