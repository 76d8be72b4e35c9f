#!/usr/bin/env bash
# Makes ready what the tests run against: PostgreSQL, Request Tracker, Dovecot, and a browser.
# They come from Debian; the tests start their own copies, in folders of their own.
# Does nothing, quickly, when all is there.
set -euo pipefail

declare -A needs=(
    [postgresql]='/usr/lib/postgresql/*/bin/postgres'
    [request-tracker5]=/usr/share/request-tracker5/libexec/rt-server
    [rt5-standalone]=/usr/share/doc/rt5-standalone/copyright
    [rt5-db-sqlite]=/usr/share/doc/rt5-db-sqlite/copyright
    [dovecot-imapd]=/usr/lib/dovecot/imap
    [chromium]=/usr/bin/chromium
)

missing=()
for package in "${!needs[@]}"; do
    compgen -G "${needs[$package]}" >/dev/null || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

fail() {
    printf 'servers: %s\n' "$@" >&2
    exit 1
}

install="apt-get install --no-install-recommends ${missing[*]}"
command -v apt-get >/dev/null ||
    fail "These packages of Debian are missing: ${missing[*]}." \
        "There is no apt-get here; the tests need a Debian or Ubuntu with them (a container will do)."
[ "$(id -u)" = 0 ] ||
    fail "These packages are missing: ${missing[*]}." "Install them as root: $install"

echo "servers: installing ${missing[*]} with apt-get (once)"
# No server starts by itself, nor asks anything: the tests start what they need.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
fi
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    fail "apt-get could not install them (all it said: $log)." "Is a Debian mirror reachable from here?"
fi
rm -f "$log"
