#!/usr/bin/env bash
# Builds muster with another LibTorch, from pip, and tests what depends on LibTorch.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/test-libtorch.sh [VERSION]

Installs torch VERSION (default: 2.15.0, the newest that muster is tested with) into a Python environment that is kept, builds muster
against it in build/torch-VERSION, and runs
  - the tests of LibTorch (parallel.torch_*), on 1 and 2 ranks,
  - training runs that resume checkpoints of the build in build/ci, and the other way round (scripts/test.sh makes that build),
  - h5py from pip, which has HDF5 2.0, on files of the build in build/ci.
Needs python3 with the module venv (Debian: python3-venv), pip and its package index, and 6 GB of disk the first time.

The environment is kept in $XDG_CACHE_HOME/muster or ~/.cache/muster.

Exit status: 0 all passed, 1 a test failed, 2 wrong usage, 3 torch or h5py could not be installed, anything else as cmake.
TEXT
}

version=2.15.0
case "${1-}" in
  "") ;;
  -h | --help) usage && exit 0 ;;
  [0-9]*) version=$1 ;;
  *) echo "test-libtorch: unknown argument \"$1\" (see --help)" >&2 && exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -x build/ci/bin/muster-train ] || {
  echo "test-libtorch: there is no build/ci/bin/muster-train to exchange checkpoints with; run scripts/test.sh first" >&2
  exit 2
}

environment=${XDG_CACHE_HOME:-$HOME/.cache}/muster/torch-$version
if [ ! -e "$environment/complete" ]; then
  rm -rf "$environment"
  echo "test-libtorch: installing torch $version in $environment"
  if ! python3 -m venv "$environment" || ! "$environment/bin/pip" install -q --disable-pip-version-check "torch==$version"; then
    echo "test-libtorch: torch $version could not be installed (python3-venv is needed, and a package index that has it)" >&2
    exit 3
  fi
  touch "$environment/complete"
fi
if ! "$environment/bin/python" -c 'import h5py' 2>/dev/null &&
  ! "$environment/bin/pip" install -q --disable-pip-version-check h5py==3.16.0; then
  echo "test-libtorch: h5py could not be installed in $environment" >&2
  exit 3
fi

# shellcheck source=scripts/compiler-cache.sh
. scripts/compiler-cache.sh
build=build/torch-$version
SECONDS=0
cmake --preset ci -B "$build" "${launcher[@]}" -DLibTorch_ROOT="$(echo "$environment"/lib/python3*/site-packages/torch)"
cmake --build "$build" -j "$(nproc)" --target muster muster-train torch_tests
built_s=$SECONDS

status=0
ctest --test-dir "$build" --output-on-failure --no-tests=error -j 4 -R '^parallel\.torch_.*\.[12]$' || status=1
mpi_tests/e2e/cross_version_test.sh build/ci/bin "$build/bin" || status=1
# The interpreter that runs the first one has the h5py of the system, which it compares with.
/usr/bin/python3 mpi_tests/e2e/dtypes_test.py "$PWD/build/ci/bin" "$PWD/scripts/mpirun.sh" docs/reference/float8.md \
  mpi_tests/e2e/dtypes_2_ranks.h5 --reader "$environment/bin/python" || status=1
mpi_tests/e2e/tools_test.sh build/ci/bin/dtype_sample "$environment/bin/python" || status=1
if [ "$status" -eq 0 ]; then outcome=passed; else outcome=FAILED; fi
echo "test-libtorch: LibTorch $version: $outcome; built in $built_s s, tested in $((SECONDS - built_s)) s"
exit "$status"
