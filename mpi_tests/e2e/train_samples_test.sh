#!/usr/bin/env bash
# A training run goes through the same samples, however often it is killed and on how many ranks it goes on.
# Usage: train_samples_test.sh BIN_DIRECTORY
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/training.sh"

# 118 sequences start in it: the 5 of a step do not divide them, and 60 steps take two epochs and a half.
head -c 150 "$text" >"$scratch/text"
head -c 151 "$text" >"$scratch/longer"
text=$scratch/text
seed=5
steps=60
train() { # train RANKS RUN LOG ARGUMENTS...: LOG.csv lists the samples
  local ranks=$1 run=$2 log=$3
  shift 3
  "$mpirun" -n "$ranks" "$bin/muster-train" --text "$text" --steps "$steps" --save-every 12 --keep-last 0 --batch 5 --context 32 \
    --layers 1 --width 8 --heads 2 --seed "$seed" --dir "$scratch/$run" --sample-log "$scratch/$log.csv" --log-every 60 "$@"
}
killed() { # killed ARGUMENTS...: as train, and must be killed
  if train "$@" 2>/dev/null; then
    echo "the run that was to crash did not" >&2
    exit 1
  fi
}

train 2 whole whole
# On 4, 3, 1 and 2 ranks in turn, each start with a log of its own. What a start took behind the last save, the next one
# takes again.
killed 4 elastic elastic.4 --crash-at 15
killed 3 elastic elastic.3 --crash-at 30
killed 1 elastic elastic.1 --crash-at 51
train 2 elastic elastic.2 --tp 2
python3 - "$scratch" <<'PYTHON'
import collections
import pathlib
import sys

STEPS, BATCH, STARTS = 60, 5, 118  # as above


def log(name):
    lines = (pathlib.Path(sys.argv[1]) / f"{name}.csv").read_text().splitlines()
    assert lines[0] == "step,samples", lines[0]
    return {int(step): [int(sample) for sample in samples.split()]
            for step, samples in (line.split(",") for line in lines[1:])}


whole = log("whole")
assert list(whole) == list(range(1, STEPS + 1)), list(whole)
# The steps of each start: from the save before the last kill to the next kill.
for name, first, last in [("elastic.4", 1, 15), ("elastic.3", 13, 30), ("elastic.1", 25, 51), ("elastic.2", 49, STEPS)]:
    start = log(name)
    assert list(start) == list(range(first, last + 1)), (name, list(start))
    for step, samples in start.items():
        assert samples == whole[step], f"step {step} of {name} took {samples} and not {whole[step]}"
sequence = [sample for samples in whole.values() for sample in samples]
assert len(sequence) == STEPS * BATCH, len(sequence)
orders = [sequence[first:first + STARTS] for first in range(0, len(sequence), STARTS)]
for epoch in orders[:-1]:
    assert sorted(epoch) == list(range(STARTS)), collections.Counter(epoch).most_common(3)
assert len(set(orders[-1])) == len(orders[-1]), collections.Counter(orders[-1]).most_common(3)
assert orders[0] != orders[1] and orders[0] != sorted(orders[0])
print(f"identical: {len(sequence)} samples of {len(orders)} epochs, on 4, 3, 1 and 2 ranks in turn")
PYTHON

# One log for all starts has each step once, and the steps after a resume replace those of the start before.
cp -r "$scratch/whole" "$scratch/again"
cp "$scratch/whole.csv" "$scratch/again.csv"
train 1 again again --resume step_36
cmp "$scratch/whole.csv" "$scratch/again.csv"

refused() { # refused MESSAGE: going on from step_60 is refused with that
  if train 1 again again >/dev/null 2>"$scratch/refused"; then
    echo "took the samples of another stream" >&2
    exit 1
  fi
  grep -qF "$1; --new-samples begins a new stream" "$scratch/refused"
  [ "$(grep -c "muster-train:" "$scratch/refused")" -eq 1 ]
}
steps=72
seed=6
refused "step_60: the state of a SampleStream has the seed 5, and this stream has the seed 6"
seed=5
text=$scratch/longer
refused "step_60: the state of a SampleStream has the length 118, and this stream has the length 119"
# A new stream begins where it is asked for, once: the next start goes on with it.
train 1 again new --new-samples >"$scratch/said"
grep -qF "a new stream of samples begins" "$scratch/said"
steps=84
train 1 again newer --new-samples >"$scratch/said"
[ "$(grep -c "new stream" "$scratch/said")" -eq 0 ]
position_in() { "$bin/muster" show "$scratch/again" --tag "$1" --json | grep -o '"position": *[0-9]*' | grep -o '[0-9]*$'; }
[ "$(position_in step_72)" -eq 60 ]
[ "$(position_in step_84)" -eq 1 ]
