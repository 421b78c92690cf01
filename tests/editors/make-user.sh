#!/bin/bash
# make-user.sh DIR: a project for user space to open in an editor: a coroutine library of one file with the commands that CMake
# writes, and an assembly file that a script has generated, which no command is about.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); dir=$1
rm -rf "$dir"; mkdir -p "$dir/build"; dir=$(cd "$dir" && pwd)
cp "$here"/workspace-user/* "$dir/"
cat > "$dir/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.16)
project(fiber LANGUAGES ASM)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
add_library(fiber STATIC fiber.S)
END
command="/usr/bin/cc -g -o CMakeFiles/fiber.dir/fiber.S.o -c $dir/fiber.S"
mkdir -p "$dir/build/CMakeFiles/fiber.dir"
(cd "$dir/build" && $command)
cat > "$dir/build/compile_commands.json" <<END
[{"directory": "$dir/build", "command": "$command", "file": "$dir/fiber.S", "output": "CMakeFiles/fiber.dir/fiber.S.o"}]
END
