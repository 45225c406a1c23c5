#!/usr/bin/env bash
# Installs the services that tests/integration starts: SLURM, PostgreSQL, RabbitMQ, OpenSSH's server; and Chromium, in
# which tests/report opens reports. Debian, as root.
# None of them is started here, and none starts by itself later: what the packages set to start is set off again, but for
# services that were there before. Tests start their own.
set -euo pipefail
programs=(slurmctld slurmd munged sbatch rabbitmq-server sshd ssh chromium)
packages=(slurmctld slurmd slurm-client munge postgresql rabbitmq-server openssh-server openssh-client chromium)
PATH="$PATH:/usr/sbin:/sbin"

missing() {
    local program
    for program in "${programs[@]}"; do command -v "$program" >/dev/null || return 0; done
    ! compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null
}

# Services of these packages, as systemd and the folders /etc/rc?.d call them.
services=(munge postgresql rabbitmq-server slurmctld slurmd ssh epmd)
systemd=${SYSTEMD_UNITS:-/etc/systemd/system}
rc=${RC_FOLDERS:-/etc}

links() {  # of one service: what makes it start by itself
    compgen -G "$systemd/*.wants/$1.service" || true
    compgen -G "$systemd/*.wants/$1.socket" || true
    compgen -G "$rc/rc[2-5].d/S[0-9][0-9]$1" || true
}

set_off() {  # the service $1, with whatever this machine has for it
    local link
    if command -v systemctl >/dev/null; then systemctl disable --quiet "$1.service" "$1.socket" 2>/dev/null || true; fi
    if command -v update-rc.d >/dev/null; then update-rc.d "$1" disable >/dev/null 2>&1 || true; fi
    for link in $(links "$1"); do rm -f "$link"; done
    echo "install-services: $1 does not start by itself" >&2
}

set_off_new() {  # all but those named, which started by themselves before
    local service
    for service in "${services[@]}"; do
        case " $* " in *" $service "*) continue ;; esac
        if [ -n "$(links "$service")" ]; then set_off "$service"; fi
    done
}

# For those who installed with a script of before: all but the services named.
if [ "${1:-}" = --set-off ]; then shift; set_off_new "$@"; exit 0; fi

missing || exit 0
[ "$(id -u)" = 0 ] || { echo "install-services: only root can install ${packages[*]}" >&2; exit 1; }
command -v apt-get >/dev/null || { echo "install-services: no apt-get here; install ${packages[*]} by other means" >&2; exit 1; }

# What a package starts when it is installed stays off; a policy that is there already is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
before=()
for service in "${services[@]}"; do if [ -n "$(links "$service")" ]; then before+=("$service"); fi; done
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null
set_off_new "${before[@]}"
