#!/usr/bin/env bash
# Which LibTorch cmake/FindLibTorch.cmake takes, and which it refuses. Usage: find_libtorch_test.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR
. "$here/libtorch_tree.sh"
scratch=$(mktemp -d "${MUSTER_TEST_DIR:-${TMPDIR:-/tmp}}/muster-find-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
unset LibTorch_ROOT VIRTUAL_ENV CONDA_PREFIX CMAKE_PREFIX_PATH

fail() {
  echo "FAILED: $*"
  cat "$scratch/output"
  exit 1
}
configure() { # configure NAME OPTIONS...
  local name=$1
  shift
  cmake -S "$here/find_libtorch" -B "$scratch/build-$name" -G Ninja -DMODULES="$here/../../cmake" "$@" >"$scratch/output" 2>&1
}
# Messages are wrapped at the width of a terminal.
says() { tr -s ' \n' '  ' <"$scratch/output" | grep -q -- "$1" || fail "no \"$1\" in the output"; }
takes() { # takes FOLDER NAME OPTIONS...: headers and libraries are of this folder, and of no other
  local folder=$1 name=$2
  shift 2
  configure "$name" "$@" || fail "$name: not configured"
  says "headers $folder/include/torch; libraries -Wl,--push-state,--no-as-needed,$folder/lib/libtorch.so,$folder/lib/libtorch_cuda.so,--pop-state;$folder/lib/libtorch_cpu.so;$folder/lib/libc10.so"
  echo "taken: $name"
}
refuses() { # refuses NAME OPTIONS...
  if configure "$@"; then fail "$1: configured"; fi
  echo "refused: $1"
}

new=$scratch/new/torch
make_libtorch "$new" 2.15.0
for name in LibTorch_ROOT Torch_DIR; do
  takes "$new" "$name" "-D$name=$new"
done
takes "$new" cmake-folder "-DTorch_DIR=$new/share/cmake/Torch"
# Beside a LibTorch of the system, too.
takes "$new" prefix "-DCMAKE_PREFIX_PATH=$scratch;$new"
takes "$new" prefix-of-python "-DCMAKE_PREFIX_PATH=$new/share/cmake"
CMAKE_PREFIX_PATH=$scratch:$new takes "$new" prefix-of-environment
LibTorch_ROOT=$new takes "$new" root-of-environment
# What is named counts more than what was taken before.
other=$scratch/other/torch
make_libtorch "$other" 2.6.0
takes "$other" prefix "-DCMAKE_PREFIX_PATH=$other/share/cmake"
cmake --build "$scratch/build-prefix" >"$scratch/output" 2>&1 || fail "the program does not build"
# CUDA is none of its business, whatever LibTorch was built for.
if grep -i cuda "$scratch"/build-*/CMakeCache.txt; then fail "looks for CUDA"; fi

# The torch package of an activated environment; and still, where CMake runs again without it.
python3 -m venv --without-pip --symlinks "$scratch/env"
packages=$(echo "$scratch"/env/lib/python3*/site-packages)
make_libtorch "$packages/torch" 2.7.1
touch "$packages/torch/__init__.py"
VIRTUAL_ENV=$scratch/env takes "$packages/torch" activated
says "LibTorch 2.7.1 (Python package $packages/torch), taken from the active VIRTUAL_ENV"
takes "$packages/torch" activated

make_libtorch "$scratch/newer" 2.99.0
takes "$scratch/newer" newer "-DLibTorch_ROOT=$scratch/newer"
says "is newer than any that muster was tested with. muster supports LibTorch 1.13 to 2.15"
make_libtorch "$scratch/older" 1.12.1
refuses older "-DLibTorch_ROOT=$scratch/older"
says "LibTorch 1.12.1 (archive $scratch/older), taken from LibTorch_ROOT, is too old. muster supports LibTorch 1.13 to 2.15"
make_libtorch "$scratch/old-abi" 2.5.0 -D_GLIBCXX_USE_CXX11_ABI=0
refuses old-abi "-DCMAKE_PREFIX_PATH=$scratch/old-abi"
says "LibTorch 2.5.0 (archive $scratch/old-abi), taken from CMAKE_PREFIX_PATH, has the old C++ ABI (_GLIBCXX_USE_CXX11_ABI=0)"
says "Wheels of torch 2.7 and later"
refuses nothing-there "-DLibTorch_ROOT=$scratch"
says "LibTorch_ROOT is $scratch, and there is no LibTorch"
# Headers alone do not take libraries from elsewhere.
mkdir "$scratch/headers"
cp -r "$new/include" "$scratch/headers"
refuses headers-alone "-DLibTorch_ROOT=$scratch/headers"
