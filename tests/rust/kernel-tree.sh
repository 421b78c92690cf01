#!/usr/bin/env bash
# Builds a small kernel tree with Rust and its samples, and asks orcls about every Rust file of it.
#
#   RUSTC=rustc BINDGEN=bindgen tests/rust/kernel-tree.sh SOURCES BUILD [ORCLS]
#
# SOURCES is an unpacked kernel (6.12 or later), BUILD a folder for `make O=`. RUSTC must have its library's sources
# (Debian: rust-src), BINDGEN a libclang (LIBCLANG_PATH says which). With ORCLS, the last part checks: every `.rs` of every
# recipe's `deps_` list finds an object, the tree's own objtool says and writes of each Rust object what orcls does, and a
# module outside of the tree is judged as the tree's release.
set -euo pipefail
src=$(realpath "$1"); mkdir -p "$2"; build=$(realpath "$2"); orcls=${3:+$(realpath "$3")}
rustc=${RUSTC:-rustc}; bindgen=${BINDGEN:-bindgen}; jobs=${JOBS:-$(nproc)}
make=(make -s -C "$src" O="$build" RUSTC="$rustc" HOSTRUSTC="$rustc" BINDGEN="$bindgen" RUSTDOC=true)
if [ ! -e "$build/vmlinux.o" ]; then
    "${make[@]}" tinyconfig >/dev/null
    "$src/scripts/config" --file "$build/.config" -e 64BIT -e SMP -e PRINTK -e BUG -e MODULES -e JUMP_LABEL \
        -e UNWINDER_ORC -d UNWINDER_GUESS -e CPU_MITIGATIONS -e SPECULATION_MITIGATIONS -e MITIGATION_RETPOLINE \
        -e MITIGATION_RETHUNK -e MITIGATION_SLS -d X86_KERNEL_IBT -d DEBUG_INFO_NONE -e DEBUG_INFO_DWARF5 -d DEBUG_INFO_BTF \
        -d MODVERSIONS -d RANDSTRUCT -e RANDSTRUCT_NONE -e INIT_STACK_NONE -e BLOCK -e NET -e RUST -e SAMPLES -e SAMPLES_RUST \
        -m SAMPLE_RUST_MINIMAL -m SAMPLE_RUST_PRINT -e RUST_OVERFLOW_CHECKS -e RUST_DEBUG_ASSERTIONS -d WERROR
    { yes '' || true; } | "${make[@]}" olddefconfig >/dev/null
    grep -q '^CONFIG_RUST=y' "$build/.config" || {
        "${make[@]}" rustavailable || true
        echo "no Rust in this configuration" >&2
        exit 3
    }
    "${make[@]}" -j"$jobs" rust/ samples/rust/ vmlinux modules 2>"$build/log" || { tail -n 20 "$build/log" >&2; exit 1; }
    grep 'objtool:' "$build/log" || echo "objtool says nothing"
fi
[ -n "$orcls" ] || exit 0

echo "== every Rust file finds its object"
missing=0; found=0
while read -r file; do
    case $file in /*) path=$file ;; *) path=$build/$file; [ -e "$path" ] || path=$src/$file ;; esac
    [ -e "$path" ] || continue
    if "$orcls" doctor --format json --build-dir "$build" "$path" | grep -q '"build":{'; then found=$((found + 1))
    else missing=$((missing + 1)); echo "no object: $path"; fi
done < <(find "$build" -name '.*.o.cmd' -exec grep -lE '(^|[ /])rustc' {} + | xargs sed -n 's/^  \(.*\.rs\) \\$/\1/p' | sort -u)
echo "$found files have an object, $missing have none"

echo "== what objtool does not know"
"$orcls" noreturn "$build/rust/core.o" | head -n 1 || true

echo "== orcls beside the tree's own objtool, on the Rust objects"
mapfile -t objects < <(find "$build" -name '.*.o.cmd' -exec grep -lE '(^|[ /])rustc' {} + | while read -r cmd; do
    name=$(basename "$cmd" .cmd); object=$(dirname "$cmd")/${name#.}
    [ -e "$object" ] && echo "$object"
done)
"$orcls" verify "${objects[@]}" | tail -n 1

echo "== a module outside of the tree"
module=$build/../out-of-tree; rm -rf "$module"; mkdir -p "$module"
echo 'obj-m := outside.o' >"$module/Makefile"
cat >"$module/outside.rs" <<'RS'
//! A module that is built against the tree.
use kernel::prelude::*;
module! { type: Outside, name: "outside", authors: ["orcls"], description: "A module outside of the tree", license: "GPL", }
struct Outside;
impl kernel::Module for Outside {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("outside\n");
        Ok(Outside)
    }
}
RS
make -s -C "$src" O="$build" RUSTC="$rustc" HOSTRUSTC="$rustc" BINDGEN="$bindgen" KBUILD_MODPOST_WARN=1 M="$(realpath "$module")" \
    >"$build/outside.log" 2>&1 || { tail -n 5 "$build/outside.log" >&2; exit 1; }
release=$(sed 's/^\([0-9]*\.[0-9]*\).*/\1/' "$build/include/config/kernel.release")
"$orcls" doctor --format json "$module/outside.rs" | grep -q "\"kernel\":\"$release\"" || { echo "not judged as $release" >&2; exit 1; }
"$orcls" check --format objtool "$module/outside.rs"
"$orcls" verify "$module/outside.o" | tail -n 1
[ "$missing" -eq 0 ]
