#!/usr/bin/env node
/** `node detect.mjs TRACE…`: what the detectors find in recorded traces, as JSON lines. */
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import { fileURLToPath, URL } from "node:url";
import { build } from "esbuild";

const { outputFiles } = await build({
  entryPoints: [fileURLToPath(new URL("src/detect/trace.ts", import.meta.url))],
  bundle: true, format: "esm", write: false, logLevel: "error",
});
const { findings } = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);

if (process.argv.length < 3) {
  console.error("usage: node detect.mjs TRACE… (JSON, see test/traces/README.md)");
  process.exit(2);
}
for (const file of process.argv.slice(2)) {
  let trace;
  try {
    trace = JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    console.error(`${file}: ${error.message}`);
    process.exitCode = 2;
    continue;
  }
  const items = Array.isArray(trace) ? trace : trace?.items;
  if (!Array.isArray(items) || !items.every((item) => typeof item?.at === "number" && typeof item?.kind === "string")) {
    console.error(`${file}: a trace is a list of {at, kind, …}, or an object with such a list as items`);
    process.exitCode = 2;
    continue;
  }
  for (const { at, signal } of findings(items)) console.log(JSON.stringify({ trace: file, at, ...signal }));
}
