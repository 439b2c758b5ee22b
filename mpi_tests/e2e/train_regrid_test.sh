#!/usr/bin/env bash
# Checkpoints of one grid of ranks, resumed on another. Usage: train_regrid_test.sh BIN_DIRECTORY float32.0|float32.1|bf16
# float32: saved after 20 steps on 8 grids, with and without ZeRO-1; .0 and .1 are every other of them. The 50 steps after it have the losses of the run that was
# never interrupted: bit by bit on the same grid, within rounding on another.
# bf16: the same of weights in bfloat16, and from one to the other.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/training.sh"

train() { # train RUN "RANKS ARGUMENTS..." MORE...
  local run=$1
  local -a grid
  read -ra grid <<<"$2"
  shift 2
  "$mpirun" -n "${grid[0]}" "$bin/muster-train" --text "$text" --steps 70 --save-every 20 --keep-last 0 --batch 4 \
    --context 16 --layers 3 --width 32 --heads 4 --lr 0.002 --seed 5 --quiet \
    --dir "$scratch/$run" --loss-log "$scratch/$run.csv" "${grid[@]:1}" "$@"
}
resume() { # resume RUN FROM "RANKS ARGUMENTS...": what FROM left after 20 steps, on this grid
  mkdir "$scratch/$1"
  cp "$scratch/$2/step_20.h5" "$scratch/$1"
  cp "$scratch/$2.csv" "$scratch/$1.csv"
  train "$1" "$3" --resume step_20
}
within() { # within FIRST ALL RUN REFERENCE: bounds of the first difference, which is all of what was loaded, and of all
  compare_losses "$3" "$4" --steps 70 --identical 20 --first "$1" --within "$2"
}

float32() { # float32 FIRST: that grid and every other one after it
  local i to grids=("1" "2 --tp 2" "2 --pp 2" "2 --zero1" "4 --tp 2 --zero1" "4 --tp 2 --pp 2" "3 --pp 3" "4 --tp 4")
  for ((i = $1; i < ${#grids[@]}; i += 2)); do train "whole$i" "${grids[i]}"; done
  for ((i = $1; i < ${#grids[@]}; i += 2)); do
    # The grid three further on is always another, and both from ZeRO-1 and to it.
    to=$(((i + 3) % ${#grids[@]}))
    echo "saved on: ${grids[i]}; resumed on: ${grids[to]}"
    resume "moved$i" "whole$i" "${grids[to]}"
    within 1e-6 1e-4 "moved$i" "whole$i"
  done
  # The same grid; in the background for some.
  local background=("" "" "" "" "--async --overlap" "--async" "" "")
  for ((i = $1; i < ${#grids[@]}; i += 2)); do
    resume "same$i" "whole$i" "${grids[i]} ${background[i]}"
    cmp "$scratch/whole$i.csv" "$scratch/same$i.csv"
  done
  [ "$1" -eq 0 ] || return 0
  resume to-one whole4 1
  within 1e-6 1e-4 to-one whole4
  "$bin/muster" verify --all "$scratch/to-one"
}

bf16() {
  # bfloat16: the weights come from the masters, and are in the file only where asked for.
  train bf16 "4 --tp 2 --zero1 --bf16"
  resume bf16-same bf16 "4 --tp 2 --zero1 --bf16"
  cmp "$scratch/bf16.csv" "$scratch/bf16-same.csv"
  resume bf16-kept bf16 "2 --pp 2 --bf16 --keep-bf16-weights"
  # Runs on two grids that are never interrupted drift apart as far as this, but start with the same loss.
  within 1e-3 5e-2 bf16-kept bf16
  weights_in() { h5ls -r "$1" | grep -c '^/model/.*Dataset' || true; }
  [ "$(weights_in "$scratch/bf16/step_70.h5")" -eq 0 ]
  [ "$(weights_in "$scratch/bf16-kept/step_70.h5")" -gt 0 ]
  resume bf16-from-kept bf16 "2 --pp 2 --bf16"
  cmp "$scratch/bf16-kept.csv" "$scratch/bf16-from-kept.csv"
  # From float32 and back, in which the weights are those of the masters.
  train whole1 "2 --tp 2"
  resume to-bf16 whole1 "2 --bf16"
  within 1e-3 5e-2 to-bf16 whole1
  resume from-bf16 bf16 "2 --tp 2"
  within 1e-3 5e-2 from-bf16 bf16
}

case "$2" in
  float32.[01]) float32 "${2#float32.}" ;;
  bf16) bf16 ;;
  *) echo "train_regrid_test.sh: no case \"$2\"" >&2 && exit 2 ;;
esac
