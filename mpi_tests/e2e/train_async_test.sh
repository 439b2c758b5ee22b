#!/usr/bin/env bash
# A training run that saves in the background. Usage: train_async_test.sh BIN_DIRECTORY
# Its losses are those of a run that saves at once, bit by bit: killed and resumed, with and without overlapped copying.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/training.sh"

train() { # train RUN ARGUMENTS...
  local run=$1
  shift
  train_in "$run" --steps 60 --save-every 3 --keep-last 2 "$@"
}

train_in() {
  local run=$1
  shift
  "$mpirun" -n 2 "$bin/muster-train" --text "$text" --batch 4 --context 32 \
    --layers 2 --width 64 --heads 2 --lr 0.002 --seed 5 --quiet --dir "$scratch/$run" --loss-log "$scratch/$run.csv" "$@"
}

train whole
for mode in "" "--overlap" "--overlap=copying" "--overlap=writing" "--overlap --skip-when-busy --write-limit 20"; do
  run=run$(tr -d ' -' <<<"$mode")
  # shellcheck disable=SC2086
  if train "$run" --async $mode --crash-at 31 2>/dev/null; then
    echo "the run that was to crash did not"
    exit 1
  fi
  "$bin/muster" verify "$scratch/$run"
  # shellcheck disable=SC2086
  train "$run" --async $mode --resume auto
  cmp "$scratch/whole.csv" "$scratch/$run.csv"
  [ "$("$bin/muster" latest "$scratch/$run")" = step_60 ]
  "$bin/muster" verify --all "$scratch/$run"
  "$bin/muster" stats "$scratch/$run"
done

# One save behind the other, in every other three steps: the losses are the same, and only those steps have tags of such saves.
train_in always --async --overlap=writing --always-saving=3 --in-flight 3 --save-every 0 --steps 12 --keep-last 0
head -n 13 "$scratch/whole.csv" | cmp - "$scratch/always.csv"
"$bin/muster" verify --all "$scratch/always"
steps=$(basename -a "$scratch"/always/step_*.*.h5 | sed 's/^step_\([0-9]*\)\..*/\1/' | sort -nu | xargs)
if ! [[ "$steps" =~ ^3\ (4\ )?(5\ )?9(\ 10)?(\ 11)?$ ]]; then
  echo "saves all the time of steps $steps"
  exit 1
fi
