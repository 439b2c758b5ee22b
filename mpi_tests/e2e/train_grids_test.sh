#!/usr/bin/env bash
# Training on grids of ranks, without any checkpoint. Usage: train_grids_test.sh BIN_DIRECTORY
# Over 20 steps all grids go through the losses of one rank, within rounding; grids that do not fit are refused.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/training.sh"

model=(--text "$text" --batch 6 --context 24 --layers 3 --width 32 --heads 4 --seed 5 --quiet)
lr=0.002
train() { # train RANKS RUN ARGUMENTS...: killed before its first save
  local ranks=$1 run=$2 status=0
  shift 2
  "$mpirun" -n "$ranks" "$bin/muster-train" "${model[@]}" --lr "$lr" --steps 21 --save-every 0 \
    --crash-at 20 --dir "$scratch/$run" --loss-log "$scratch/$run.csv" "$@" 2>"$scratch/$run.err" || status=$?
  [ "$status" -eq 137 ] || { cat "$scratch/$run.err"; echo "$run: exit status $status, not that of a kill"; exit 1; }
}
within() { # within BOUND RUN REFERENCE
  compare_losses "$2" "$3" --steps 20 --within "$1"
}

train 1 one
train 2 tp2 --tp 2
train 2 pp2 --pp 2
train 2 dp2
train 4 tp2-dp2 --tp 2
train 4 tp2-pp2 --tp 2 --pp 2
train 2 dp2-zero1 --zero1
train 3 pp3 --pp 3 --micro-batches 2
train 4 tp4 --tp 4
train 4 pp2-dp2-zero1 --pp 2 --zero1
for run in tp2 pp2 dp2 tp2-dp2 tp2-pp2 dp2-zero1 pp3 tp4 pp2-dp2-zero1; do within 1e-4 "$run" one; done
# Which rank steps a part of a parameter changes nothing.
cmp "$scratch/dp2.csv" "$scratch/dp2-zero1.csv"

lr=0.05 # SGD takes larger steps
train 1 one-sgd --optimizer sgd
train 4 tp2-zero1-sgd --tp 2 --zero1 --optimizer sgd
within 1e-4 tp2-zero1-sgd one-sgd
lr=0.002

# bfloat16 has 8 bits of precision, in the activations too.
train 1 one-bf16 --bf16
train 4 tp2-zero1-bf16 --tp 2 --zero1 --bf16
within 2e-2 one-bf16 one
within 2e-2 tp2-zero1-bf16 one
train 2 dp2-bf16 --bf16
train 2 dp2-zero1-bf16 --bf16 --zero1
cmp "$scratch/dp2-bf16.csv" "$scratch/dp2-zero1-bf16.csv"

refused() { # refused RANKS TEXT ARGUMENTS...: exit status 2 and one line with the text
  local ranks=$1 text=$2 status=0
  shift 2
  "$mpirun" -n "$ranks" "$bin/muster-train" "${model[@]}" --dir "$scratch/refused" "$@" 2>"$scratch/refused.err" ||
    status=$?
  grep '^muster-train: ' "$scratch/refused.err" >"$scratch/refused.lines" || true
  if [ "$status" -ne 2 ] || [ "$(wc -l <"$scratch/refused.lines")" -ne 1 ] ||
    ! grep -qF -- "$text" "$scratch/refused.lines"; then
    cat "$scratch/refused.err"
    echo "exit status $status, or not one line that says '$text': $*"
    exit 1
  fi
}
refused 3 "--tp is 3, and must divide --heads, 4" --tp 3
refused 4 "--pp is 4, and --layers 3" --pp 4
refused 3 "do not divide the number of ranks" --tp 2
refused 2 "is not the number of ranks" --tp 2 --dp 2
[ ! -e "$scratch/refused" ]
