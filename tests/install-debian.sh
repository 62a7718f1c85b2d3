#!/usr/bin/env bash
# Installs the Debian packages that the tests use. As another user than root it only tells the command.
set -euo pipefail

# package:command that it brings (and that makes the package unnecessary)
needs=(
  bind9-dnsutils:nsupdate bind9-utils:rndc bind9:named buildah:buildah caddy:caddy certbot:certbot curl:curl
  dehydrated:dehydrated jq:jq lego:lego make:make mmdebstrap:mmdebstrap openssl:openssl
  prometheus:promtool uacme:uacme util-linux:unshare
)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing=()
for need in "${needs[@]}"; do
  command -v "${need#*:}" >/dev/null || missing+=("${need%%:*}")
done
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "The tests need these programs, which are not installed: ${missing[*]}" >&2
  echo "Run: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

# Packages must not start their services here: exit status 101 forbids it (policy-rc.d, Debian policy 9.3.3.1).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi

echo "Installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
rm -f "$log"
