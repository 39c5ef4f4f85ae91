#!/bin/sh
# Installs Debian's redis-server for the tests, and leaves no service behind: the tests start servers of their own, and
# a Redis on 6379 that nobody asked for could be in the way of another. Needs root.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Packages start their services only if policy-rc.d lets them. One that is there already is the machine owner's: it is
# put back afterwards, also after an earlier run that was cut short.
policy=/usr/sbin/policy-rc.d
saved=$policy.saved-by-pawl
undo() {
  rm -f "$policy"
  [ ! -e "$saved" ] || mv "$saved" "$policy"
}
[ -e "$saved" ] || [ ! -e "$policy" ] || mv "$policy" "$saved"
trap undo EXIT
trap 'exit 1' HUP INT TERM
printf '#!/bin/sh\nexit 101\n' > "$policy"
chmod 755 "$policy"

apt-get update -qq
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 redis-server > /dev/null

# The policy keeps it from starting now; this, from starting at the next boot.
if command -v systemctl > /dev/null; then systemctl disable redis-server > /dev/null 2>&1 || true; fi
