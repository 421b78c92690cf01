#!/bin/bash
# make-workspace.sh DIR: a small project to open in an editor: sources, compile_commands.json, built objects. Its compiler is
# DIR/bin/gcc, which writes a line to DIR/compiler.log each time that it is run, so that a test can tell whether it was.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); dir=$1
rm -rf "$dir"; mkdir -p "$dir/bin" "$dir/src"; dir=$(cd "$dir" && pwd)
cp "$here"/workspace/* "$dir/src/"; cp -r "$here/../../fixtures/include" "$dir/include"
real=$(command -v gcc || command -v cc)
cat > "$dir/bin/gcc" <<EOF
#!/bin/sh
echo "\$*" >> "$dir/compiler.log"
exec "$real" "\$@"
EOF
chmod +x "$dir/bin/gcc"
entries=
for source in stack.S save_fl.S flags.c; do
  object=${source%.*}.o
  command="$dir/bin/gcc -g -O2 -mcmodel=kernel -fno-pic -mno-red-zone -fno-asynchronous-unwind-tables -fcf-protection=none -DKERNEL=612 -I../include -c -o $object $source"
  (cd "$dir/src" && $command)
  entries+="${entries:+,}
  {\"directory\": \"$dir/src\", \"file\": \"$source\", \"command\": \"$command\"}"
done
echo "[$entries
]" > "$dir/src/compile_commands.json"
: > "$dir/compiler.log"
