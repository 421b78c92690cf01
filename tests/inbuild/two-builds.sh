#!/bin/bash
# tests/inbuild/two-builds.sh ORCLS SOURCES [FOLDER]: builds a small kernel from nothing twice, with the tree's own objtool and
# with orcls in its place, and compares every object, archive, module and vmlinux, and the logs line by line. Then, if QEMU is
# installed, boots the second one and lets it print a trace through a deliberate WARN. SOURCES are unpacked and clean.
#   CONFIG=ibt     indirect branch tracking, so that linked objects are checked and not single ones
#   LLVM=1         Clang, or LLVM=-16 for one of its releases
#   JOBS=N         how much make does at once
set -euo pipefail
orcls=$(realpath "$1") sources=$(realpath "$2") folder=$(realpath -m "${3:-two-builds}")
rm -rf "$folder"; mkdir -p "$folder/bin" "$folder/module"
ln -s "$orcls" "$folder/bin/objtool"
export KBUILD_BUILD_TIMESTAMP='1 January 2026' KBUILD_BUILD_USER=user KBUILD_BUILD_HOST=host LC_ALL=C
jobs=${JOBS:-$(nproc)}
# Both are built at one place, since objects name it.
build=$folder/build
run() { make -C "$sources" O="$build" ${LLVM:+LLVM="$LLVM"} "$@"; }

cat >"$folder/fragment" <<'EOF'
CONFIG_64BIT=y
CONFIG_MODULES=y
CONFIG_MODULE_UNLOAD=y
CONFIG_PRINTK=y
CONFIG_BUG=y
CONFIG_TTY=y
CONFIG_SERIAL_8250=y
CONFIG_SERIAL_8250_CONSOLE=y
CONFIG_BLK_DEV_INITRD=y
CONFIG_BINFMT_ELF=y
CONFIG_KALLSYMS=y
CONFIG_UNWINDER_ORC=y
CONFIG_CPU_MITIGATIONS=y
CONFIG_MITIGATION_RETPOLINE=y
CONFIG_MITIGATION_RETHUNK=y
CONFIG_JUMP_LABEL=y
CONFIG_CRC16=m
CONFIG_CRC_CCITT=m
CONFIG_LIBCRC32C=m
EOF
[ "${CONFIG:-}" != ibt ] || echo CONFIG_X86_KERNEL_IBT=y >>"$folder/fragment"

printf 'obj-m := warn.o\n' >"$folder/module/Makefile"
cat >"$folder/module/warn.c" <<'EOF'
#include <linux/module.h>
/* The compiler must not know the values, or it ends a function with a jump, which leaves no frame. */
static noinline int orcls_inner(int x) { WARN(1, "orcls was here\n"); OPTIMIZER_HIDE_VAR(x); return x + 1; }
static noinline int orcls_outer(int x) { int y = orcls_inner(x); OPTIMIZER_HIDE_VAR(y); return y + 1; }
static int __init warn_init(void) { return orcls_outer(1) > 100 ? -EINVAL : 0; }
module_init(warn_init);
MODULE_LICENSE("GPL");
EOF

# One build: its log, its objects.
build() {
  rm -rf "$build"; mkdir "$build"
  run tinyconfig >/dev/null
  (cd "$build" && "$sources/scripts/kconfig/merge_config.sh" -m .config "$folder/fragment" >/dev/null)
  run olddefconfig >/dev/null
  grep -q '^CONFIG_UNWINDER_ORC=y' "$build/.config"
  run -j"$jobs" "${@:2}" all >"$folder/$1.log" 2>&1 || { tail -n 30 "$folder/$1.log"; exit 1; }
  rm -f "$folder"/module/*.o "$folder"/module/*.ko
  run M="$folder/module" "${@:2}" modules >>"$folder/$1.log" 2>&1 || { tail -n 30 "$folder/$1.log"; exit 1; }
  cp -a "$folder/module" "$build/module"
  mv "$build" "$folder/$1"
}
build objtool
build orcls objtool="$folder/bin/objtool"

cd "$folder"
n=0 differing=()
while read -r -d '' file; do
  n=$((n + 1))
  cmp -s "objtool/$file" "orcls/$file" || differing+=("$file")
done < <(cd objtool && find . -path ./tools -prune -o \( -name '*.o' -o -name '*.ko' -o -name '*.a' -o -name vmlinux -o -name bzImage \) -print0)
echo "$n files compared, ${#differing[@]} differ"
[ ${#differing[@]} = 0 ] || { printf '  %s\n' "${differing[@]:0:20}"; exit 1; }
[ "$n" -gt 300 ]
# make does several things at once, in any order.
diff <(sort objtool.log) <(sort orcls.log)
echo "the logs are the same: $(wc -l <orcls.log) lines, $(grep -c 'objtool: ' orcls.log || true) of objtool"
grep -q "$folder/bin/objtool" orcls/init/.main.o.cmd orcls/.vmlinux.o.cmd

command -v qemu-system-x86_64 >/dev/null || { echo 'not booted: there is no QEMU'; exit 0; }
mkdir -p root/dev
cat >init.c <<'EOF'
#include <fcntl.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) { syscall(SYS_finit_module, open("/warn.ko", O_RDONLY), "", 0); reboot(RB_AUTOBOOT); for (;;) pause(); }
EOF
gcc -static -O1 -o root/init init.c
cp module/warn.ko root/
(cd root && find . | cpio --quiet -o -H newc) >root.cpio
timeout 300 qemu-system-x86_64 -cpu max -m 256 -nographic -no-reboot -kernel orcls/arch/x86/boot/bzImage -initrd root.cpio \
  -append 'console=ttyS0 panic=-1' </dev/null >boot.log 2>&1 || true
sed -n '/orcls was here/,/end trace/p' boot.log
# The callers in their order and none between them: a frame that the unwinder only guesses has a question mark, and the compiler
# may add to the name of what it specialised.
frames=$(sed -n '/orcls was here/,/end trace/p' boot.log | sed -n '/Call Trace/,$p' | grep -v '[?] ' |
  grep -oE '[A-Za-z_][A-Za-z0-9_.]*\+0x' | sed 's/[.+].*//' | tr '\n' ' ')
case " $frames" in
  *" orcls_outer warn_init do_one_initcall do_init_module "* | *" orcls_outer init_module do_one_initcall do_init_module "*) echo "booted: the trace leads through the WARN to its callers: $frames" ;;
  *) echo "no trace through the WARN: $frames"; tail -n 40 boot.log; exit 1 ;;
esac
