#!/usr/bin/env bash
# Makes .venv ready: a Python, the pinned and hashed packages, then Forestall itself.
# Does nothing when the pins and pyproject.toml have not changed since the last time.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/.forestall-ready
pins=constraints/dev.txt

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3.14 python3 python; do
        if [ -n "$candidate" ] && command -v "$candidate" >/dev/null && new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
}

install_debian() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    echo "setup: installing $* with apt-get" >&2
    apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >&2
}

make_venv() {
    local python
    [ -z "${PYTHON:-}" ] || new_enough "$PYTHON" ||
        fail "PYTHON=$PYTHON is not a Python 3.11 or newer that can be run."
    python=$(find_python)
    if [ -z "$python" ] && install_debian python3 python3-venv; then
        python=$(find_python)
    fi
    [ -n "$python" ] || fail "Python 3.11 or newer is needed and was not found." \
        "Install it (on Debian: apt-get install python3 python3-venv), or name one: make PYTHON=/path/to/python3"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        install_debian python3-venv || fail "$python lacks the venv module." \
            "Install it (on Debian: apt-get install python3-venv) and run this again."
    fi
    "$python" -m venv "$venv" || fail "$python could not make the virtual environment $venv."
}

sum=$(cat "$pins" pyproject.toml src/forestall/{context,log}/*.p[xy][ix] | sha256sum | cut -d' ' -f1)
if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ]; then
    exit 0
fi
[ -x "$venv/bin/python" ] || make_venv
new_enough "$venv/bin/python" || fail "$venv holds a Python older than 3.11; delete it and run this again."

echo "setup: installing the pinned packages into $venv (once; takes about a minute)"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r "$pins" ||
    fail "The packages of $pins could not be installed." \
        "They come from PyPI (or the index your pip is set to use): is it reachable from here?"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e . ||
    fail "Forestall itself could not be installed into $venv."
"$venv/bin/python" scripts/core.py || true # without a C compiler Python alone is used
echo "$sum" >"$stamp"
