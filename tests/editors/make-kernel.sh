#!/bin/bash
# make-kernel.sh DIR: a file of the Linux kernel below DIR/src, built by Kbuild as a module of its own, out of Debian's packages:
# the kernel's headers with Kbuild and objtool, and one file of its sources. A second call finds it there. Needs apt, dpkg-deb,
# gcc and make; nothing is installed into the system.
set -euo pipefail
dir=$1 series=${KERNEL_SERIES:-6.12} file=arch/x86/lib/copy_user_64.S
if [ -e "$dir/src/${file%.S}.o" ]; then echo "Linux $series, $file"; exit 0; fi
rm -rf "$dir"; mkdir -p "$dir/packages" "$dir/src/${file%/*}"; dir=$(cd "$dir" && pwd)

depends() { apt-cache depends "$1" 2>/dev/null | sed -n "s/^ *Depends: \($2\)$/\1/p" | head -n 1; }
packages() {
  headers=$(depends "linux-headers-$series-amd64" 'linux-headers-[^ ]*')
  [ -n "$headers" ] && apt-get -qq -o APT::Sandbox::User= download "$headers" "$(depends "$headers" 'linux-headers-[^ ]*-common')" \
    "$(depends "$headers" 'linux-kbuild-[^ ]*')" "linux-source-$series"
}
cd "$dir/packages"
# The system's lists of packages may be missing, or older than its archive.
if ! packages 2>/dev/null; then
  as_root=(); [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  "${as_root[@]}" apt-get -qq update
  packages || { echo "this system's archive has no linux-headers-$series-amd64 with linux-source-$series" >&2; exit 1; }
fi
for package in linux-headers-*.deb linux-kbuild-*.deb; do dpkg-deb -x "$package" "$dir"; done
# All of the sources are 1.5 GB. The file is an early one: tar stops behind it, and who feeds it complains.
dpkg-deb --fsys-tarfile linux-source-*.deb 2>/dev/null | tar -xO --wildcards '*.tar.xz' 2>/dev/null |
  tar -xJ -C "$dir/src" --strip-components=1 --occurrence=1 --wildcards "*/$file" || true
[ -s "$dir/src/$file" ] || { echo "linux-source-$series has no $file" >&2; exit 1; }
cd "$dir"; rm -r packages

tree=$dir/usr/src/$headers
echo "include $(echo "$dir"/usr/src/linux-headers-*-common)/Makefile" > "$tree/Makefile"
echo "obj-m := $(basename "$file" .S).o" > "src/${file%/*}/Makefile"
make -s -C "$tree" M="$dir/src/${file%/*}" CC=gcc "$(basename "$file" .S).o"
echo "Linux $series, $file"
