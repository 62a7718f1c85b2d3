#!/usr/bin/env bash
# Installs the Debian packages that the tests use. As another user than root it only tells the command.
set -euo pipefail

# package:command that it brings (and that makes the package unnecessary)
needs=(
  bind9-dnsutils:nsupdate bind9-utils:rndc bind9:named buildah:buildah caddy:caddy certbot:certbot curl:curl
  dehydrated:dehydrated git:git golang-go:go jq:jq lego:lego make:make mmdebstrap:mmdebstrap openssl:openssl
  prometheus:promtool uacme:uacme util-linux:unshare
)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin

missing=()
for need in "${needs[@]}"; do
  command -v "${need#*:}" >/dev/null || missing+=("${need%%:*}")
done
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
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
# A mirror may be slow to answer, and another apt may be at work.
patient=(-qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600)
if ! { apt-get "${patient[@]}" update && apt-get "${patient[@]}" -y --no-install-recommends install "${missing[@]}"; } \
  >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
rm -f "$log"
