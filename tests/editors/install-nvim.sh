#!/bin/bash
# install-nvim.sh PREFIX: a Neovim that is newer than the system's, out of a newer Debian suite, without touching the system.
# Run PREFIX/bin/nvim. A second call finds it there. Needs apt, dpkg-deb and patchelf.
set -euo pipefail
prefix=$1 suite=${NVIM_SUITE:-forky}
if "$prefix/bin/nvim" --version 2>/dev/null | head -n 1; then exit 0; fi
"$(dirname "$0")/unpack-from-suite.sh" "$prefix" "$suite" neovim usr/bin/nvim
mkdir -p "$prefix/bin"
cat > "$prefix/bin/nvim" <<EOF
#!/bin/sh
export VIM="$prefix/usr/share/nvim" VIMRUNTIME="$prefix/usr/share/nvim/runtime"
exec "$prefix/usr/bin/nvim" "\$@"
EOF
chmod +x "$prefix/bin/nvim"
"$prefix/bin/nvim" --version | head -n 1
