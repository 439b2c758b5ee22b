#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/test.sh [--sanitize | --threads] [CTEST ARGUMENTS]

Builds the preset `ci` (optimised, warnings are errors; programs in build/ci/bin) and runs its tests with ctest.

  --sanitize   the preset `asan-ubsan` instead: AddressSanitizer and UndefinedBehaviorSanitizer, unit and parallel tests
  --threads    the preset `tsan` instead: ThreadSanitizer, the tests of background saves

Examples:
  scripts/test.sh                      everything
  scripts/test.sh -L unit              tests with one label: unit, parallel, fault, e2e, slurm, install, bench
  scripts/test.sh -R reshard -V        tests whose name matches, with all their output
  scripts/test.sh --sanitize
  scripts/test.sh --threads

Exit status: 0 all passed, 2 wrong usage, 3 a package is missing, anything else as cmake or ctest.
TEXT
}

preset=ci
case "${1-}" in
  -h | --help) usage && exit 0 ;;
  --sanitize)
    preset=asan-ubsan
    shift
    ;;
  --threads)
    preset=tsan
    shift
    ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/install-deps.sh

if [ "$preset" = asan-ubsan ]; then
  # What Open MPI and HDF5 keep until the process ends is not ours to free.
  export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=0:strict_string_checks=1}"
  export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
fi

launcher=()
if command -v ccache >/dev/null; then
  launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  export CCACHE_SLOPPINESS="${CCACHE_SLOPPINESS:-pch_defines,time_macros,include_file_mtime,include_file_ctime}"
fi

SECONDS=0
cmake --preset "$preset" "${launcher[@]}"
cmake --build --preset "$preset" -j "$(nproc)"
built_s=$SECONDS

# ThreadSanitizer cannot place its memory where the system scatters addresses too widely.
runner=()
if [ "$preset" = tsan ] && setarch -R true 2>/dev/null; then runner=(setarch -R); fi

status=0
"${runner[@]}" ctest --preset "$preset" "$@" || status=$?
if [ "$status" -eq 0 ]; then outcome=passed; else outcome="FAILED (ctest exit status $status)"; fi
echo "test.sh: preset $preset: $outcome; built in $built_s s, tested in $((SECONDS - built_s)) s"
exit "$status"
