#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# docker-engine.sh DIRECTORY [SUITE]
# Unpacks the Docker of a Debian suite (sid unless another is named) into a directory, for
# `npm run test:docker -- --engine DIRECTORY`: dockerd, containerd, runc, the clients and every
# library that they need. Nothing of it is installed, and apt's own state is not touched.
set -euo pipefail

usage() { echo "usage: docker-engine.sh DIRECTORY [SUITE]" >&2; exit 2; }
[ $# -ge 1 ] && [ $# -le 2 ] && [ "${1#-}" = "$1" ] || usage
suite=${2:-sid}
# the mirror of Debian that the machine is set up with
listed() { apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sed 's:/*$::' | grep -m 1 '/debian$'; }
mirror=${MIRROR:-$(listed || true)}
[ -n "$mirror" ] || { echo "docker-engine: the machine's package sources have no mirror of Debian: name one in MIRROR (http://HOST/debian)" >&2; exit 1; }
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || { echo "docker-engine: $keyring is missing: apt-get install debian-archive-keyring" >&2; exit 1; }
if [ -e "$1" ] && [ -n "$(ls -A "$1")" ]; then
  echo "docker-engine: $1 is not empty" >&2
  exit 1
fi
mkdir -p "$1"
root=$(realpath "$1")

apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,etc/preferences.d}
# no package is installed as far as this apt knows, so that libraries come along
: >"$apt/status"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$apt/etc/sources.list"
export APT_CONFIG=$apt/apt.conf
cat >"$APT_CONFIG" <<CONF
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc "$apt/etc";
Dir::Etc::sourceparts "-";
// proxies and the like stay the machine's
Dir::Etc::main "/etc/apt/apt.conf";
Dir::Etc::parts "/etc/apt/apt.conf.d";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
CONF

apt-get -qq update
# chroot is how the tests come back to the machine's root; the client and compose are in packages of their own where they are packaged
packages=(docker.io coreutils)
for package in docker-cli docker-compose; do
  if apt-cache show "$package" >/dev/null 2>&1; then packages+=("$package"); fi
done
apt-get -qq install --yes --download-only "${packages[@]}"

# what base-files would bring
mkdir -p "$root"/{usr/{bin,sbin,lib,lib64},etc,var/lib,proc,sys,dev,tmp,run,root}
for name in bin sbin lib lib64; do ln -s "usr/$name" "$root/$name"; done
# what a managed plugin on the host's network is given of its host
echo "127.0.0.1 localhost" >"$root/etc/hosts"
: >"$root/etc/resolv.conf"
for package in "$apt"/cache/archives/*.deb; do
  # as tar extracts it, through the links above
  dpkg-deb --fsys-tarfile "$package" |
    tar -C "$root" -x --keep-directory-symlink --exclude='./usr/share/man/*' --exclude='./usr/share/doc/*'
done
# what update-alternatives would do
for name in iptables ip6tables; do
  for tool in "$name" "$name-save" "$name-restore"; do
    [ -e "$root/usr/sbin/$tool" ] || ln -s xtables-nft-multi "$root/usr/sbin/$tool"
  done
done
version=$(dpkg-deb -f "$apt"/cache/archives/docker.io_*.deb Version)
echo "docker-engine: docker.io $version of $suite is in $1"
