#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/test.sh [--sanitize | --threads | --mpich | --long] [CTEST ARGUMENTS]

Builds the preset `ci` (optimised, warnings are errors; programs in build/ci/bin) and runs its tests with ctest.

  --sanitize   the preset `asan-ubsan` instead: AddressSanitizer and UndefinedBehaviorSanitizer, unit and parallel tests
  --threads    the preset `tsan` instead: ThreadSanitizer, the tests of background saves
  --mpich      the preset `mpich` instead: the core with MPICH, without LibTorch; all tests but those under Slurm. For a Debian that has no
               Open MPI: scripts/on-debian.sh trixie scripts/test.sh --mpich
  --long       what takes too long for every commit: the preset `ci` with the long schedules of the tests that kill and interrupt jobs
               (MUSTER_TEST_LONG=1), then all tests on Debian 13, then --mpich there. The last two need root (scripts/on-debian.sh).

Examples:
  scripts/test.sh                      everything
  scripts/test.sh -L unit              tests with one label: unit, parallel, fault, e2e, slurm, install, bench
  scripts/test.sh -R reshard -V        tests whose name matches, with all their output
  scripts/test.sh --sanitize
  scripts/test.sh --long -R kill       the long schedules of these tests, and these tests on the other stacks

Exit status: 0 all passed, 2 wrong usage, 3 a package is missing, anything else as cmake or ctest.
TEXT
}

preset=ci
long=0
if [ $# -gt 0 ]; then
  case "$1" in
    -h | --help) usage && exit 0 ;;
    --sanitize) preset=asan-ubsan && shift ;;
    --threads) preset=tsan && shift ;;
    --mpich) preset=mpich && shift ;;
    --long) long=1 && shift ;;
  esac
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ "$preset" = mpich ]; then scripts/install-deps.sh --mpich; else scripts/install-deps.sh; fi
if [ "$long" -eq 1 ]; then export MUSTER_TEST_LONG=1; fi

if [ "$preset" = asan-ubsan ]; then
  # Leaks count: what Open MPI and HDF5 keep until the process ends is in mpi_tests/support/lsan.supp.
  export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:strict_string_checks=1}"
  export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
fi

# shellcheck source=scripts/compiler-cache.sh
. scripts/compiler-cache.sh
ccache_log=
if [ ${#launcher[@]} -gt 0 ]; then
  ccache_log=$(mktemp)
  trap 'rm -f "$ccache_log"' EXIT
fi
# The share of compilations of this run that the compiler cache served, where there is one.
cached() {
  [ -n "$ccache_log" ] || return 0
  local hits misses
  hits=$(grep -cE '^(direct|preprocessed)_cache_hit$' "$ccache_log") || true
  misses=$(grep -c '^cache_miss$' "$ccache_log") || true
  echo ", $hits of $((hits + misses)) compilations from the cache"
}

SECONDS=0
cmake --preset "$preset" "${launcher[@]}"
CCACHE_STATSLOG=$ccache_log cmake --build --preset "$preset" -j "$(nproc)"
built_s=$SECONDS

# ThreadSanitizer cannot place its memory where the system scatters addresses too widely.
runner=()
if [ "$preset" = tsan ] && setarch -R true 2>/dev/null; then runner=(setarch -R); fi

status=0
"${runner[@]}" ctest --preset "$preset" "$@" || status=$?
if [ "$status" -eq 0 ]; then outcome=passed; else outcome="FAILED (ctest exit status $status)"; fi
summary=("preset $preset: $outcome; built in $built_s s$(cached), tested in $((SECONDS - built_s)) s")

# The other stacks, each in a Debian of its own, with the short schedules.
other_stack() { # other_stack NAME OPTION...: NAME of the Debian that is kept
  local begun_s=$SECONDS result=0 name=$1
  shift
  env -u MUSTER_TEST_LONG scripts/on-debian.sh --keep "$name" trixie scripts/test.sh "$@" || result=$?
  [ "$status" -ne 0 ] || status=$result
  summary+=("Debian 13, scripts/test.sh $*: exit status $result, $((SECONDS - begun_s)) s")
}
if [ "$long" -eq 1 ]; then
  other_stack ci "$@"
  other_stack mpich --mpich "$@"
fi
printf 'test.sh: %s\n' "${summary[@]}"
exit "$status"
