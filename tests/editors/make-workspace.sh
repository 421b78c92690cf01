#!/bin/bash
# make-workspace.sh DIR [LOG]: a small project to open in an editor: sources, compile_commands.json, built objects. With LOG its
# compiler is DIR/bin/gcc, which writes a line to LOG each time that it is run, so that a test can tell whether it was.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); dir=$1 log=${2:-} compiler=gcc
rm -rf "$dir"; mkdir -p "$dir/src"; dir=$(cd "$dir" && pwd)
cp "$here"/workspace/* "$dir/src/"; cp -r "$here/../../fixtures/include" "$dir/include"
if [ -n "$log" ]; then
  compiler=$dir/bin/gcc
  mkdir "$dir/bin"
  cat > "$compiler" <<EOF
#!/bin/sh
echo "\$*" >> "$log"
exec "$(command -v gcc)" "\$@"
EOF
  chmod +x "$compiler"
fi
entries=
for source in stack.S save_fl.S flags.c; do
  object=${source%.*}.o
  command="$compiler -g -O2 -mcmodel=kernel -fno-pic -mno-red-zone -fno-asynchronous-unwind-tables -fcf-protection=none -DKERNEL=612 -I../include -c -o $object $source"
  (cd "$dir/src" && $command)
  entries+="${entries:+,}
  {\"directory\": \"$dir/src\", \"file\": \"$source\", \"command\": \"$command\"}"
done
echo "[$entries
]" > "$dir/src/compile_commands.json"
if [ -n "$log" ]; then : > "$log"; fi
