#!/bin/sh
# install.sh: the real mail, name, directory and database servers, Request Tracker, and the shells, that the tests use, from
# Debian's packages.
# Needs root and apt.
#
# Says and does nothing where all of it is here already. Never starts a service or leaves one enabled: the tests run
# private instances of their own, in folders of their own. Never removes a package: on a machine with another mail
# server Debian can't install Postfix beside it, and then this stops and says so. Mail servers that Debian can't install
# beside Postfix are only unpacked, below /opt/relay-tests, and run from there by tests/support/guest.py.
set -eu

PATH=$PATH:/usr/sbin:/sbin
unpacked=/opt/relay-tests

# program:package; the programs of Postfix that the tests call are all in its one package.
missing=
for part in ip:iproute2 mkfs.ext4:e2fsprogs smtp-source:postfix nsd:nsd slapd:slapd ldapadd:ldap-utils swaks:swaks \
    haproxy:haproxy postgrey:postgrey pgbouncer:pgbouncer openssl:openssl msmtp:msmtp curl:curl zsh:zsh fish:fish \
    faketime:faketime; do
    command -v "${part%%:*}" >/dev/null || missing="$missing ${part#*:}"
done
[ -n "$(ls /usr/lib/postgresql/*/bin/initdb 2>/dev/null)" ] || missing="$missing postgresql"
[ -x /usr/share/request-tracker5/libexec/rt-server ] || missing="$missing request-tracker5 rt5-db-sqlite rt5-standalone"
guests=
for part in usr/sbin/exim4:exim4-daemon-light usr/sbin/smtpd:opensmtpd; do
    [ -x "$unpacked/${part#*:}/${part%%:*}" ] || guests="$guests ${part#*:}"
done
[ -n "$missing$guests" ] || exit 0

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
# Its questions are about a site of its own; the tests' instances have their own databases.
case $missing in *request-tracker5*) debconf-set-selections <<'EOF' ;; esac
request-tracker5 request-tracker5/rtname string relay.example
request-tracker5 request-tracker5/organization string relay.example
request-tracker5 request-tracker5/correspondaddress string support@relay.example
request-tracker5 request-tracker5/commentaddress string comment@relay.example
request-tracker5 request-tracker5/webbaseurl string http://127.0.0.1
request-tracker5 request-tracker5/webpath string
request-tracker5 request-tracker5/handle-siteconfig-permissions boolean true
request-tracker5 request-tracker5/install-cronjobs boolean false
request-tracker5 request-tracker5/dbconfig-install boolean false
EOF
apt-get -o DPkg::Lock::Timeout=300 update -qq

# What is only unpacked gets the libraries that it says it needs.
for package in $guests; do
    libraries=$(apt-cache show --no-all-versions "$package" | sed -n 's/^Depends: //p' | tr ',' '\n' |
        sed -n 's/^ *\(lib[a-z0-9.+-]*\).*/\1/p' | tr '\n' ' ')
    missing="$missing $libraries"
done

# shellcheck disable=SC2086  # a list of package names
if ! output=$(apt-get -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install -y -qq --no-install-recommends --no-remove $missing 2>&1); then
    printf '%s\n' "$output" "install.sh: could not install$missing" >&2
    exit 1
fi

for package in $guests; do
    part=$unpacked/$package.part
    rm -rf "$part"
    mkdir -p "$part"
    # As root, and not as apt's own user, who may not write here.
    (cd "$part" && apt-get -o APT::Sandbox::User=root download -qq "$package" && dpkg-deb -x "$package"_*.deb . && rm ./*.deb)
    rm -rf "${unpacked:?}/$package"
    mv "$part" "$unpacked/$package"
done

for package in $missing; do
    if [ -e "/etc/init.d/$package" ]; then
        update-rc.d "$package" disable >/dev/null 2>&1
    fi
done
