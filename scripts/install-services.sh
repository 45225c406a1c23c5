#!/usr/bin/env bash
# Installs the services that tests/integration starts: SLURM, PostgreSQL, RabbitMQ, OpenSSH's server. Debian, as root.
# None of them is started here, and none is set to start by itself: tests start their own.
set -euo pipefail
programs=(slurmctld slurmd munged sbatch rabbitmq-server sshd ssh)
packages=(slurmctld slurmd slurm-client munge postgresql rabbitmq-server openssh-server openssh-client)
PATH="$PATH:/usr/sbin:/sbin"

missing() {
    local program
    for program in "${programs[@]}"; do command -v "$program" >/dev/null || return 0; done
    ! compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null
}

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
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null
