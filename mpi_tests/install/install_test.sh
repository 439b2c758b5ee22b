#!/usr/bin/env bash
# Installs a build tree, moves what was installed, builds examples of examples/ against it, with CMake and with pkg-config,
# and runs them on 2 ranks.
# Usage: install_test.sh BUILD_DIR WITH_TORCH(ON|OFF)
#        install_test.sh BUILD_DIR SHARED
#   SHARED  of a tree of its own in BUILD_DIR-shared, for shared libraries, without LibTorch, of which only the targets that
#           scripts/quickstart.sh builds are built. Its objects are those of BUILD_DIR: a compiler cache has them (paths that
#           it makes relative are the same only at the same depth).
set -euo pipefail
build=$1
kind=$2
scratch=$(mktemp -d "${MUSTER_TEST_DIR:-${TMPDIR:-/tmp}}/muster-install-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
source "$(dirname "$0")/common.sh"

launcher=$(cached "$build" CMAKE_CXX_COMPILER_LAUNCHER)
with_torch=$kind
if [ "$kind" = SHARED ]; then
  with_torch=OFF
  settings=()
  for name in CMAKE_BUILD_TYPE CMAKE_CXX_COMPILER CMAKE_CXX_COMPILER_LAUNCHER CMAKE_CXX_FLAGS CMAKE_UNITY_BUILD \
    CMAKE_UNITY_BUILD_BATCH_SIZE MUSTER_WERROR; do
    value=$(cached "$build" "$name")
    [ -z "$value" ] || settings+=("-D$name=$value")
  done
  # MUSTER_FAILPOINTS is not among them: a build without a preset has none, and neither has the one that users build.
  preset=$(cd "$here/../.." && cmake --preset release -N) || fail "cmake --preset release -N"
  [[ $preset != *MUSTER_FAILPOINTS* ]] || fail "the preset release sets MUSTER_FAILPOINTS"
  cmake -S "$here/../.." -B "$build-shared" -G Ninja -UMUSTER_FAILPOINTS "${settings[@]}" -DBUILD_SHARED_LIBS=ON \
    -DMUSTER_TORCH=OFF -DMUSTER_TESTS=OFF >"$scratch/configure.log" || fail "$(cat "$scratch/configure.log")"
  build=$build-shared
  cmake --build "$build" --target muster muster_libraries
  require_no_failpoints "$build/bin"
elif [ "$(cached "$build" MUSTER_FAILPOINTS)" = ON ]; then
  grep -qF MUSTER_FAILPOINT "$build/bin/muster" || fail "the build tree's own programs have no fault points"
fi

cmake --install "$build" --prefix "$scratch/first" >"$scratch/install.log" || fail "cmake --install"
prefix=$scratch/prefix
mv "$scratch/first" "$prefix"
require_no_failpoints "$prefix"
"$prefix/bin/muster" --version

libraries=$(cd "$prefix/lib" && echo *muster*)
case $kind in
  ON) expected="libmuster-torch.a libmuster.a" ;;
  OFF) expected="libmuster.a" ;;
  SHARED) expected="libmuster.so libmuster.so.0.1 libmuster.so.0.1.0" ;;
esac
[ "$libraries" = "$expected" ] || fail "libraries are: $libraries; expected: $expected"

if [ "$kind" = SHARED ]; then
  library=$prefix/lib/libmuster.so
  readelf -d "$library" | grep -qF 'soname: [libmuster.so.0.1]' || fail "libmuster.so has no SONAME libmuster.so.0.1"
  # Names of namespaces inside muster, and of what is linked in, are hidden; but for what the component torch needs.
  nm -DC --defined-only "$library" >"$scratch/names"
  grep -q ' T muster::save_checkpoint(' "$scratch/names" || fail "libmuster.so does not export save_checkpoint"
  if grep -E 'muster::[a-z0-9_]+::|nlohmann::[^ ]+ const::|spdlog::' "$scratch/names" |
    grep -vE ' T muster::load::(is_selected|renamed)\b'; then
    fail "libmuster.so exports the internal names above"
  fi
fi

cmake -S "$examples" -B "$scratch/examples" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_EXE_LINKER_FLAGS=-Wl,--as-needed -DCMAKE_CXX_COMPILER_LAUNCHER="$launcher" \
  >"$scratch/configure.log" || fail "$(cat "$scratch/configure.log")"
cmake --build "$scratch/examples" --target stencil
run_stencil "$scratch/examples/stencil" "$prefix/bin/muster"
if [ "$with_torch" = ON ]; then
  minimal=$scratch/examples/minimal
  cmake --build "$scratch/examples" --target minimal
  run_example "$minimal" "$prefix/bin/muster"
  # LibTorch's CUDA part registers itself when it is loaded: no name of it is needed, and yet it is linked where there is one.
  libtorch=$(ldd "$minimal" | sed -n 's|.*=> \(.*\)/libtorch_cpu\.so.*|\1|p')
  [ -n "$libtorch" ] || fail "$minimal is not linked to LibTorch"
  if [ -e "$libtorch/libtorch_cuda.so" ] && ! ldd "$minimal" | grep -q libtorch_cuda; then
    fail "$minimal is not linked to $libtorch/libtorch_cuda.so"
  fi
  # Another LibTorch than the one that muster was built with is refused, by name.
  # shellcheck source-path=SCRIPTDIR
  . "$here/libtorch_tree.sh"
  make_libtorch "$scratch/other" 2.99.0
  if cmake -S "$examples" -B "$scratch/refused" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
    -DLibTorch_ROOT="$scratch/other" >"$scratch/refused.log" 2>&1; then
    fail "took another LibTorch than that of muster"
  fi
  tr -s ' \n' '  ' <"$scratch/refused.log" | grep -q \
    "muster was built with LibTorch .* and this project has LibTorch 2.99.0 (archive $scratch/other)" ||
    fail "$(cat "$scratch/refused.log")"
fi

compile_with_pkg_config "$(cached "$1" MPI_CXX_COMPILER)" "$prefix" "$scratch/by_pkg_config"
LD_LIBRARY_PATH=$prefix/lib run_stencil "$scratch/by_pkg_config" "$prefix/bin/muster"
