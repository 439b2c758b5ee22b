#!/usr/bin/env bash
# Nodes that die under a job of train-preemptible.sbatch, with all that runs on them. Usage: node_loss_test.sh BIN_DIRECTORY
# It goes on from the newest checkpoint: on a spare node bit by bit as if nothing had been, and on the one node that is left.
set -euo pipefail
cluster=(--nodes 3 --cpus 4 --kill-wait 2)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
hurry_requeued &

# Two jobs on the same nodes, and how they spread over their ranks, 4 and then 2: data parallel, and so in another grid only by its
# size; and with tensor parallel layers and a parted optimizer state, so that a rank takes over what two held.
declare -A options=([dp]="" [tp]="--tp 2 --zero1") job
runs=(dp tp)

lose() { # lose KILL NODE STEPS STARTS: KILLs the node when each job has saved so many steps after its last resume, and waits for that start
  local kill=$1 run newest
  local -A saved
  shift
  for run in "${runs[@]}"; do wait_until 120 reached "$run" $(($(last_resumed "$run") + $2)); done
  "$kill" "$1"
  for run in "${runs[@]}"; do
    saved[$run]=$(newest_step "$run")
    echo "$(date +%T) killed $1, newest checkpoint of $run: step_${saved[$run]}"
    "$bin/muster" verify "$scratch/$run"
  done
  for run in "${runs[@]}"; do
    wait_until 120 started "$run" "$3"
    newest=${saved[$run]}
    resumed=$(last_resumed "$run")
    echo "$(date +%T) start $3 of $run, from step_$resumed"
    # A save that only rank 0 had something to do for may have come through after the kill.
    ((resumed >= newest && resumed <= newest + 10)) || say_and_fail "$run resumed from step_$resumed"
  done
}
last_resumed() { # last_resumed RUN: the step; 0 where it has not
  local step
  step=$(sed -n 's/^resumed from step_\([0-9]*\):.*/\1/p' "$1.out" 2>/dev/null | tail -n 1)
  echo "${step:-0}"
}
started() { [ "$(grep -cE '^(resumed from|no checkpoint in)' "$1.out")" -ge "$2" ]; }

export PATH=$bin:$PATH
for run in "${runs[@]}"; do
  # shellcheck disable=SC2086
  training "$run" --save-every 10 ${options[$run]}
  train_until "[ -e enough ]" "$run"
  job[$run]=$(sbatch --parsable --output="$run.out" "$repository/slurm/train-preemptible.sbatch" "${train[@]}")
done
# Slurm finds out by itself.
kill_node() { "$repository/slurm/local-cluster.sh" kill-node "$1"; }
lose kill_node n2 20 2
# The node of the batch script, too.
touch enough
lose lose_node n1 20 3
for run in "${runs[@]}"; do
  wait_for_end "${job[$run]}"
  grep -E '^(resumed|train-preemptible)' "$run.out"
  [ "$status" -eq 0 ] || say_and_fail "$run: exit status $status"
  [ "$(grep -c '^train-preemptible.sbatch: done' "$run.out")" -eq 1 ] || say_and_fail "$run: a lost node is taken for the end"
  says "$run.out" "start 1 on n[1-2]"
  says "$run.out" "on n[1,3]"
  says "$run.out" "on n3, newest"
done
"$bin/muster" show --json "$scratch/tp" | python3 -c '
import json, sys
grid = json.load(sys.stdin)["grid"]
print("the grid in the end:", grid)
assert (grid["tensor"], grid["data"]) == (2, 1), grid'
for node in n1 n2; do "$repository/slurm/local-cluster.sh" start-node "$node"; done
both_idle() { [ "$(sinfo -h -N -p low -n n1,n2 -t idle -o %N | wc -l)" -eq 2 ]; }
wait_until 60 both_idle
for run in "${runs[@]}"; do
  steps=$(newest_step "$run")
  # shellcheck disable=SC2086
  training "whole_$run" --steps "$steps" --save-every 10 ${options[$run]}
  on_two_nodes "${train[@]}" >"whole_$run.out"
  compare_losses "$run" "whole_$run" "$steps" "$(last_resumed "$run")"
  "$bin/muster" verify --all "$scratch/$run"
done
