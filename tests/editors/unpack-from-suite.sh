#!/bin/bash
# unpack-from-suite.sh PREFIX SUITE[,SUITE...] PACKAGE BINARY...: unpacks a package of another Debian suite, with everything that it
# depends on (libc too), below PREFIX, and makes the named programs use those libraries. The archive is the one that this
# system already uses; nothing is installed into the system.
set -euo pipefail
prefix=$1 suite=$2 package=$3; shift 3
command -v patchelf >/dev/null || { echo "patchelf is needed: apt-get install patchelf" >&2; exit 1; }
archive=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep '/debian$' | grep -v security | sort -u | head -n 1)
scratch=$(mktemp -d); trap 'rm -rf "$scratch"' EXIT
mkdir -p "$scratch"/{lists/partial,cache/archives/partial,state,none}
: > "$scratch/status"
for one in ${suite//,/ }; do
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $one main"
done > "$scratch/sources.list"
cat > "$scratch/apt.conf" <<EOF
Dir::Etc::sourcelist "$scratch/sources.list";
Dir::Etc::sourceparts "$scratch/none";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$scratch/none";
Dir::State "$scratch/state";
Dir::State::lists "$scratch/lists";
Dir::State::status "$scratch/status";
Dir::Cache "$scratch/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Sandbox::User "";
APT::Keep-Downloaded-Packages "true";
EOF
export APT_CONFIG="$scratch/apt.conf"
apt-get -qq update
apt-get -qq -y --no-install-recommends --download-only install "$package"
rm -rf "$prefix"; mkdir -p "$prefix"
for deb in "$scratch"/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$prefix" --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' --exclude='./var' --exclude='./etc'
done
libraries="$prefix/usr/lib/$(uname -m)-linux-gnu"
# RPATH rather than RUNPATH, which would not serve the libraries' own needs; and not LD_LIBRARY_PATH, which the language
# server and the compilers that it runs would inherit.
for program in "$@"; do
  patchelf --set-interpreter "$(echo "$libraries"/ld-linux-*.so.*)" --force-rpath --set-rpath "$libraries" "$prefix/$program"
done
