#!/usr/bin/env bash
# Whatever way a program ends, a background save in flight is published, and one that fails is told of. Usage: async_exit_test.sh MPIRUN PROGRAM MUSTER
set -euo pipefail
mpirun=$1 program=$2 muster=$3
scratch=$(mktemp -d "${MUSTER_TEST_DIR:-${TMPDIR:-/tmp}}/muster-exit-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

for mode in finalize shared destructor exit; do
  # A process that exits without MPI_Finalize is an error to the launcher, and only to it.
  "$mpirun" -n 2 "$program" "$scratch" "$mode" >"$scratch/output" 2>&1 || [ "$mode" = exit ] || {
    cat "$scratch/output"
    exit 1
  }
  if [ "$("$muster" latest "$scratch")" != "$mode" ]; then
    echo "$mode: the save was lost"
    cat "$scratch/output"
    exit 1
  fi
  "$muster" verify "$scratch" --tag "$mode"
done

# One that fails in the end is told of, by the rank it failed on.
for mode in finalize shared destructor exit; do
  "$mpirun" -n 2 env MUSTER_FAILPOINT=save.sync@1:throw "$program" "$scratch/failing" "$mode" >"$scratch/output" 2>&1 ||
    [ "$mode" = exit ] || {
    cat "$scratch/output"
    exit 1
  }
  if ! grep -q "async save of $mode: fault injected at save.sync" "$scratch/output"; then
    echo "$mode: nobody was told of the failure"
    cat "$scratch/output"
    exit 1
  fi
  if ls -A "$scratch/failing" | grep -F "$mode"; then
    echo "$mode: something of it was left"
    exit 1
  fi
done
