#!/usr/bin/env bash
# A real training run, killed and resumed. Usage: train_resume_test.sh BIN_DIRECTORY [OPTIMIZER]
# At the same number of ranks the resumed losses are those of an uninterrupted run bit by bit, over 60 steps; at another
# number they are the same within rounding.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/training.sh"

optimizer=${2:-adamw}
model=(--layers 2 --width 32)
train() { # train RANKS RUN ARGUMENTS...
  local ranks=$1 run=$2
  shift 2
  "$mpirun" -n "$ranks" "$bin/muster-train" --text "$text" --steps 84 --save-every 12 --keep-last 2 --batch 4 --context 32 \
    "${model[@]}" --heads 2 --lr 0.002 --seed 5 --optimizer "$optimizer" --quiet \
    --dir "$scratch/$run" --loss-log "$scratch/$run.csv" "$@"
}

train 2 whole
if train 2 broken --crash-at 30 2>/dev/null; then
  echo "the run that was to crash did not"
  exit 1
fi
[ "$("$bin/muster" latest "$scratch/broken")" = step_24 ]
"$bin/muster" verify "$scratch/broken"
cp -r "$scratch/broken" "$scratch/wider"
cp "$scratch/broken.csv" "$scratch/wider.csv"
# Another model is refused in one line, and what is there stays.
model=(--layers 3 --width 48)
if train 2 broken 2>"$scratch/refused"; then
  echo "took a checkpoint of another model"
  exit 1
fi
grep -q "step_24 was trained with --layers 2 and not 3, --width 32 and not 48" "$scratch/refused"
[ "$(grep -cE "float32|muster-train:" "$scratch/refused")" -eq 1 ]
model=(--layers 2 --width 32)
train 2 broken --resume auto
cmp "$scratch/whole.csv" "$scratch/broken.csv"
echo "identical: $(($(wc -l <"$scratch/whole.csv") - 1)) losses, 60 of them after the resume from step_24"

train 4 wider --resume step_24
compare_losses wider whole --steps 84 --within 1e-3
"$bin/muster" verify "$scratch/wider" --all
[ "$("$bin/muster" ls "$scratch/wider" --json | python3 -c 'import json,sys; print(len(json.load(sys.stdin)["tags"]))')" = 2 ]
