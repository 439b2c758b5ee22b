#!/usr/bin/env bash
# Installs a build tree, builds the consumer project against the install, and runs it on 2 ranks.
# Usage: install_test.sh BUILD_DIR WITH_TORCH(ON|OFF)
set -euo pipefail
build=$1
with_torch=$2
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d "${MUSTER_TEST_DIR:-${TMPDIR:-/tmp}}/muster-install-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/install.log"
cmake -S "$here/consumer" -B "$scratch/consumer" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$scratch/prefix" -DWITH_TORCH="$with_torch" \
  -DCMAKE_EXE_LINKER_FLAGS=-Wl,--as-needed \
  -DCMAKE_CXX_COMPILER_LAUNCHER="$(command -v ccache || true)" >"$scratch/configure.log" || {
  cat "$scratch/configure.log"
  exit 1
}
cmake --build "$scratch/consumer"
if [ "$with_torch" = ON ]; then
  # Another LibTorch than the one that muster was built with is refused, by name.
  # shellcheck source-path=SCRIPTDIR
  . "$here/libtorch_tree.sh"
  make_libtorch "$scratch/other" 2.99.0
  if cmake -S "$here/consumer" -B "$scratch/refused" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/prefix" -DWITH_TORCH=ON \
    -DLibTorch_ROOT="$scratch/other" >"$scratch/refused.log" 2>&1; then
    echo "took another LibTorch than that of muster"
    exit 1
  fi
  tr -s ' \n' '  ' <"$scratch/refused.log" | grep -q \
    "muster was built with LibTorch .* and this project has LibTorch 2.99.0 (archive $scratch/other)" || {
    cat "$scratch/refused.log"
    exit 1
  }
fi

programs=(core_only)
if [ "$with_torch" = ON ]; then programs+=(with_torch); fi
for program in "${programs[@]}"; do
  "$here/../../scripts/mpirun.sh" -n 2 "$scratch/consumer/$program" "$scratch/ckpts-$program"
  "$scratch/prefix/bin/muster" verify "$scratch/ckpts-$program"
done
