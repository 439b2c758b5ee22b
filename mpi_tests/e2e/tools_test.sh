#!/usr/bin/env bash
# What HDF5's own tools and h5py make of a checkpoint. Usage: tools_test.sh DTYPE_SAMPLE_PROGRAM PYTHON
set -euo pipefail
sample=$1
python=$2
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d "${MUSTER_TEST_DIR:-${TMPDIR:-/tmp}}/muster-tools-XXXXXX")
trap 'rm -rf "$scratch"' EXIT

"$here/../../scripts/mpirun.sh" -n 3 "$sample" "$scratch"
file=$scratch/step_7.h5

expect() { # expect TEXT COMMAND...: the command succeeds and prints the text
  local text=$1
  shift
  local output
  output=$("$@") || { echo "failed: $*"; exit 1; }
  grep -qF -- "$text" <<<"$output" || { echo "'$text' is not in the output of: $*"; echo "$output" | head -50; exit 1; }
  echo "fine: $1 shows '$text'"
}
expect 'DATASET "transposed"' h5dump -H "$file"
expect '"total_steps":7' h5dump -d /user_content "$file"
expect '(1,0): 1, 5, 9' h5dump -d /model/transposed "$file"
expect '16-bit little-endian floating-point' h5dump -H -d /model/BFloat16 "$file"
expect 'Dataset {5, 7}' h5ls -r "$file"
expect 'H5F_FSPACE_STRATEGY_AGGR' h5stat "$file"
"$python" "$here/read_with_h5py.py" "$scratch"
