#!/usr/bin/env bash
# Two builds of muster with different versions of LibTorch resume each other's checkpoints.
# Usage: cross_version_test.sh BIN_DIRECTORY OTHER_BIN_DIRECTORY
# Each of them trains to the end without interruption; each resumes, in the middle, a run of the other. Losses after that
# are those of the uninterrupted run within a millionth: kernels differ between versions.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/training.sh"
bins=("$1" "$2")

train() { # train BUILD RUN ARGUMENTS...
  local build=$1 run=$2
  shift 2
  "$mpirun" -n 2 "${bins[build]}/muster-train" --text "$text" --steps 60 --save-every 20 --keep-last 0 --batch 4 \
    --context 32 --layers 2 --width 32 --heads 2 --lr 0.002 --lr-step 25 --seed 5 --quiet \
    --dir "$scratch/$run" --loss-log "$scratch/$run.csv" "$@"
}

for optimizer in adamw sgd; do
  for build in 0 1; do
    train "$build" "$optimizer-whole-$build" --optimizer "$optimizer"
  done
  for build in 0 1; do
    other=$optimizer-whole-$((1 - build))
    run=$optimizer-resumed-$build
    mkdir "$scratch/$run"
    cp "$scratch/$other/step_20.h5" "$scratch/$run"
    cp "$scratch/$other.csv" "$scratch/$run.csv"
    train "$build" "$run" --optimizer "$optimizer" --resume step_20
    compare_losses "$run" "$other" --steps 60 --identical 20 --within 1e-6
    "${bins[1 - build]}/muster" verify "$scratch/$run" --all
  done
done
