#!/usr/bin/env bash
# A project that finds another MPI than muster was built with is told so when it is configured. Usage: other_mpi_test.sh BUILD_DIR
set -euo pipefail
build=$1
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d "${MUSTER_TEST_DIR:-${TMPDIR:-/tmp}}/muster-other-mpi-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/install.log"
config=$(find "$scratch/prefix" -name musterConfig.cmake)
own=$(sed -n 's/^set(muster_MPI "\(.*\)").*/\1/p' "$config")
[ -n "$own" ] || {
  echo "musterConfig.cmake does not say which MPI muster was built with"
  exit 1
}
# As if muster had been built with the MPI of another machine.
sed -i "s/^set(muster_MPI \".*\")/set(muster_MPI \"Another MPI 9\")/" "$config"
if cmake -S "$here/../../examples" -B "$scratch/examples" -G Ninja -DCMAKE_PREFIX_PATH="$scratch/prefix" \
  >"$scratch/configure.log" 2>&1; then
  echo "another MPI was not refused"
  exit 1
fi
tr -s ' \n' ' ' <"$scratch/configure.log" >"$scratch/words"
grep -q "was built with Another MPI 9, and this project finds $own" "$scratch/words" || {
  cat "$scratch/configure.log"
  exit 1
}
