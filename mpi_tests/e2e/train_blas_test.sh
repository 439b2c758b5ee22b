#!/usr/bin/env bash
# muster-train says that LibTorch runs on the reference BLAS where it does, once, and on no other.
# Usage: train_blas_test.sh BIN_DIRECTORY
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/training.sh"

if ! ldd "$bin/muster-train" | grep -q 'libblas\.so\.3 =>'; then
  echo "this LibTorch has a BLAS built in"
  train=("$mpirun" -n 2 "$bin/muster-train" --text "$text" --steps 1 --dir "$scratch/built-in")
  "${train[@]}" >"$scratch/output"
  if grep "reference BLAS" "$scratch/output"; then exit 1; fi
  exit 0
fi

# Debian has each BLAS in a folder of its own.
tried=0
for file in /usr/lib/*/*/libblas.so.3; do
  [ -e "$file" ] || continue
  folder=$(dirname "$file")
  LD_LIBRARY_PATH=$folder "$mpirun" -n 2 "$bin/muster-train" --text "$text" --steps 1 --dir "$scratch/$tried" >"$scratch/output"
  notes=$(grep -c "computes with the reference BLAS, $folder/libblas.so.*install libopenblas0-pthread" "$scratch/output" || true)
  expected=0
  if [ "$(basename "$folder")" = blas ]; then expected=1; fi
  echo "$folder: $notes notes"
  [ "$notes" -eq "$expected" ] || { cat "$scratch/output" && exit 1; }
  tried=$((tried + 1))
done
[ "$tried" -gt 0 ] || { echo "no BLAS of Debian to try" && exit 1; }
