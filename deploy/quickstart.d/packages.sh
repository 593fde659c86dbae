# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Installs Debian packages when they are missing, and only then. Sourced by deploy/quickstart and tests/run.
#
#   install_missing libev-dev 'libclang-rt-14-dev|libclang-rt-dev'
#
# A name with bars is a choice: one of them is enough, and the first one that apt knows is taken. No service
# starts by the installation: a policy-rc.d refuses it meanwhile, and what stood there before is put back.

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

any_installed() {
    local name
    for name in ${1//|/ }; do
        is_installed "$name" && return 0
    done
    return 1
}

first_known() {
    local name
    for name in ${1//|/ }; do
        apt-cache show "$name" >/dev/null 2>&1 && echo "$name" && return 0
    done
    echo "${1%%|*}"
}

# Runs "$@" while no package may start a service. The old policy-rc.d keeps its owner, mode and time.
without_services() (
    policy=/usr/sbin/policy-rc.d
    saved=$policy.before-postern
    restore() {
        rm -f "$policy"
        if [ -e "$saved" ] || [ -L "$saved" ]; then
            mv "$saved" "$policy"
        fi
    }
    if [ ! -e "$saved" ] && [ ! -L "$saved" ]; then # else a killed run left the true one there
        if [ -e "$policy" ] || [ -L "$policy" ]; then
            mv "$policy" "$saved" || exit 1
        fi
    fi
    trap restore EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" || exit 1
    "$@"
)

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

install_missing() {
    local choice missing=() wanted=()
    for choice in "$@"; do
        any_installed "$choice" || missing+=("$choice")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" != 0 ]; then
        echo "Packages are missing. As root: apt-get install ${missing[*]%%|*}" >&2
        return 1
    fi
    echo "Installing: ${missing[*]%%|*}"
    apt-get update -qq || echo "apt-get update failed; going on with the package lists that are here" >&2
    for choice in "${missing[@]}"; do
        wanted+=("$(first_known "$choice")")
    done
    without_services apt_install "${wanted[@]}"
}

BUILD_PACKAGES=(build-essential cmake ninja-build pkg-config libev-dev libssl-dev libpcre2-dev libhiredis-dev
    libc-ares-dev libyaml-dev libarchive-dev)
