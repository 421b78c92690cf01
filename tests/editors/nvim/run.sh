#!/bin/bash
# run.sh [small|untrusted|kernel|alone|screen|quickfix]...: the tests in Neovim. From the environment:
#   ORCLS         the server
#   NVIM_PREFIX   where install-nvim.sh put Neovim
#   ARTIFACTS     where pictures go
#   KERNEL_TREE   a folder with a kernel's src/, and build/ if it was built there (make O=); or make-kernel.sh's
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
: "${ORCLS:?}" "${NVIM_PREFIX:?}" "${ARTIFACTS:?}" "${KERNEL_TREE:?}"
export ORCLS_PLUGIN=$(cd "$here/../../../editors/nvim" && pwd)
scratch=$(mktemp -d)
terminal() { tmux -L "orcls-$$" -f /dev/null "$@"; }
trap 'terminal kill-server 2>/dev/null || true; rm -rf "$scratch"' EXIT
# No file of the user's, and none left behind.
export HOME=$scratch/home XDG_CONFIG_HOME=$scratch/config XDG_DATA_HOME=$scratch/data XDG_STATE_HOME=$scratch/state XDG_CACHE_HOME=$scratch/cache
mkdir -p "$HOME"

workspace() {
  export ORCLS_COMPILER_LOG=$scratch/compiler.log ORCLS_COMPILER=$scratch/workspace/bin/gcc
  "$here/../make-workspace.sh" "$scratch/workspace" "$ORCLS_COMPILER_LOG"
  cd "$scratch/workspace/src"
}

suite() {
  workspace
  ORCLS_SUITE=$1 timeout 900 "$NVIM_PREFIX/bin/nvim" --clean --headless -u "$here/init.lua" -c "luafile $here/test.lua" 2>"$scratch/stderr" ||
    { cat "$scratch/stderr" "$scratch/state/nvim/"*.log 2>/dev/null | tail -n 20; return 1; }
}

# What a terminal shows, typed into it by hand. Each picture waits for the text that it is about.
shows() {
  local _
  for _ in $(seq 1200); do
    if terminal capture-pane -p -t e | grep -qF -- "$1"; then return 0; fi
    sleep 0.1
  done
  echo "  FAIL  the screen does not show: $1"; terminal capture-pane -p -t e; return 1
}
# picture NAME TEXT: waits for the text on the screen, then takes the picture.
picture() {
  shows "$2" || return 1
  sleep 0.4
  terminal capture-pane -e -p -t e | node "$here/screen.mjs" 130 36 "$ARTIFACTS/$1.png"
  echo "  ok    $1.png"
}
screen() {
  workspace
  terminal new-session -d -s e -x 130 -y 36 "env TERM=tmux-256color COLORTERM=truecolor LANG=C.UTF-8 $NVIM_PREFIX/bin/nvim --clean -u $here/init.lua stack.S" \; \
    set -ga terminal-features ',*:RGB' \; set -g status off
  shows 'rsp+16' || return 1
  terminal send-keys -t e '10G'
  picture nvim-finding 'E:1' || return 1
  terminal send-keys -t e '7GK'
  picture nvim-hover 'return address' || return 1
  terminal send-keys -t e Escape ':edit save_fl.S' Enter; shows 'save_fl_flat' || return 1
  terminal send-keys -t e '8G:Orcls alternatives' Enter
  picture nvim-alternatives 'the arms disagree' || return 1
  terminal send-keys -t e ':qall!' Enter
}

kernel() {
  local build=
  [ ! -d "$KERNEL_TREE/build" ] || build=$KERNEL_TREE/build
  ORCLS_KERNEL=1 ORCLS_BUILD=$build ORCLS_KERNEL_SOURCE=$KERNEL_TREE/src suite kernel
}

# Nothing but the one file, in the `lsp` folder of a configuration.
alone() {
  mkdir -p "$scratch/alone/lsp"
  cp "$ORCLS_PLUGIN/lsp/orcls.lua" "$scratch/alone/lsp/"
  ORCLS_PLUGIN=$scratch/alone suite alone
}

# A build's log in the quickfix list: `:compiler orcls`, `:make`.
quickfix() {
  mkdir -p "$scratch/quickfix/lib"; cd "$scratch/quickfix"
  printf '\t.text\n\t.globl f\n\t.type f, @function\nf:\n\tpush %%rbx\n\tret\n\t.size f, . - f\n' >lib/a.S
  printf 'int x\n' >b.c
  printf 'all:\n\tgcc -g -c lib/a.S -o lib/a.o\n\t@echo "lib/a.o: warning: objtool: f+0x1: return with modified stack frame"\n\t@echo "gone.o: warning: objtool: g+0x1: unreachable instruction"\n\tgcc -c b.c\n' >Makefile
  ORCLS_PROGRAM=$ORCLS timeout 120 "$NVIM_PREFIX/bin/nvim" --clean --headless --cmd "set rtp+=$ORCLS_PLUGIN" \
    -c "luafile $here/quickfix.lua" -c 'qall!'
}

export ORCLS
status=0
[ $# -gt 0 ] || set -- small untrusted kernel alone screen quickfix
for name; do
  echo "nvim $name"
  case $name in
    small) suite small ;;
    untrusted) ORCLS_UNTRUSTED=1 suite untrusted ;;
    kernel) kernel ;;
    alone) alone ;;
    screen) screen ;;
    quickfix) quickfix ;;
    *) echo "there is no suite $name" >&2; false ;;
  esac || status=1
done
exit $status
