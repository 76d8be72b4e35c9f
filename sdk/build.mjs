// Bundles the SDK: `node build.mjs` writes it where the gateway serves it from and into dist/ for npm;
// `node build.mjs --check` says how large the bundles are and fails where one is larger than it may be.
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const SERVED = "../src/forestall/ingest/sdk";

// `most`: bytes when packed with gzip, as the promise to the pages that carry it says. What another one
// fetches comes before it, since that knows its hash.
const BUNDLES = [
  { name: "forestall-vitals.js", entry: "src/signals/vitals.ts", format: "iife", most: 3_200 },
  { name: "forestall-signals.js", entry: "src/signals/late.ts", format: "iife", most: 7_680 },
  { name: "forestall-ui.js", entry: "src/ui/index.ts", format: "iife", most: 14_336 },
  { name: "forestall-edge.js", entry: "src/edge/index.ts", format: "iife", most: 6_144 },
  { name: "forestall-help.js", entry: "src/help/index.ts", format: "iife", most: 4_096 },
  { name: "forestall.js", entry: "src/global.ts", format: "iife", most: 8_192 },
  { name: "forestall.mjs", entry: "src/index.ts", format: "esm", most: 8_192 },
  { name: "snippet.js", entry: "src/snippet.ts", format: "iife", most: 1_024 },
];

// Names of properties that only our own bundles know: no page, no server and no device ever sees them, and no
// browser has them. They become shorter, in all bundles alike.
const OURS = `
  afford answered batch blamed blank bursts cause chance choose deciding editable guard interactive isOff
  isPrivate lastField leads mayNotice maySend mayStore mine noise passes pointer proof repeatable saving
  served settled shared signIn tried unproven unsettled watching well works
`;
const SHORT = new RegExp(`^(${OURS.trim().split(/\s+/).join("|")})$`);
let mangleCache = {};

const LATE = ["vitals", "signals", "help", "ui", "edge"];
const hash = (kind, contents) => `${kind}-${createHash(kind).update(contents).digest("base64")}`;

async function bundle({ entry, format }) {
  const built = await build({
    entryPoints: [entry],
    bundle: true,
    format,
    minify: true,
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    write: false,
    logLevel: "error",
    mangleProps: SHORT,
    mangleCache,
    define: Object.fromEntries(LATE.map((name) => [`${name.toUpperCase()}_INTEGRITY`, JSON.stringify(known[`forestall-${name}.js`] ?? "")])),
  });
  mangleCache = built.mangleCache;
  const { code } = await minify(built.outputFiles[0].text, {
    compress: { passes: 4, ecma: 2022, hoist_funs: true, unsafe_arrows: true, unsafe_methods: true },
    module: format === "esm",
    toplevel: true,
    format: { ecma: 2022, comments: false },
  });
  return Buffer.from(code);
}

const check = process.argv.includes("--check");
const integrity = {};
/** Shorter, for the bundles that fetch others. */
const known = {};
const files = [];
let fits = true;
for (const each of BUNDLES) {
  const contents = await bundle(each);
  const packed = gzipSync(contents, { level: 9 }).length;
  fits &&= packed <= each.most;
  if (check || packed > each.most) console.log(`${each.name}: ${packed} of ${each.most} bytes packed`);
  integrity[each.name] = hash("sha384", contents);
  known[each.name] = hash("sha256", contents);
  files.push([each.name, contents]);
}
if (!fits) {
  console.error("sdk: a bundle is larger than it may be");
  process.exit(1);
}
if (!check) {
  files.push(["integrity.json", `${JSON.stringify(integrity, null, 2)}\n`]);
  for (const folder of [SERVED, "dist"]) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    for (const [name, contents] of files) writeFileSync(`${folder}/${name}`, contents);
  }
  execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.types.json"], { stdio: "inherit" });
  writeFileSync(`${SERVED}/sources.sha256`, readFileSync(0, "utf8").trim());
}
