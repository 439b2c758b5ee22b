#!/usr/bin/env bash
# Sourced by the tests of training runs, with the directory of the programs as $1.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC2034  # these are used where this is sourced
{
  bin=$1
  mpirun=$here/../../scripts/mpirun.sh
  text=/usr/share/common-licenses/GPL-3
  [ -r "$text" ] || text=$here/../../LICENSE
}
scratch=$(mktemp -d "${MUSTER_TEST_DIR:-${TMPDIR:-/tmp}}/muster-train-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

compare_losses() { # compare_losses RUN REFERENCE OPTIONS...
  local run=$1 reference=$2
  shift 2
  "$here/../support/compare_losses.py" "$scratch/$run.csv" "$scratch/$reference.csv" "$@"
}
