#!/bin/sh
# install.sh: the real mail, name and directory servers, and the shells, that the tests use, from Debian's packages.
# Needs root and apt.
#
# Says and does nothing where all of it is here already. Never starts a service or leaves one enabled: the tests run
# private instances of their own, in folders of their own. Never removes a package: on a machine with another mail
# server Debian can't install Postfix beside it, and then this stops and says so.
set -eu

PATH=$PATH:/usr/sbin:/sbin

# program:package; the programs of Postfix that the tests call are all in its one package.
missing=
for part in ip:iproute2 mkfs.ext4:e2fsprogs smtp-source:postfix nsd:nsd slapd:slapd ldapadd:ldap-utils swaks:swaks \
    haproxy:haproxy openssl:openssl zsh:zsh fish:fish; do
    command -v "${part%%:*}" >/dev/null || missing="$missing ${part#*:}"
done
[ -n "$missing" ] || exit 0

# Debian's packages start their service when they are installed, unless this file says no (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi

export DEBIAN_FRONTEND=noninteractive
case $missing in *postfix*) echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections ;; esac
apt-get -o DPkg::Lock::Timeout=300 update -qq
# shellcheck disable=SC2086  # a list of package names
if ! output=$(apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install -y -qq --no-install-recommends --no-remove $missing 2>&1); then
    printf '%s\n' "$output" "install.sh: could not install$missing" >&2
    exit 1
fi

for package in $missing; do
    if [ -e "/etc/init.d/$package" ]; then
        update-rc.d "$package" disable >/dev/null 2>&1
    fi
done
