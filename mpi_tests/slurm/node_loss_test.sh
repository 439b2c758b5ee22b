#!/usr/bin/env bash
# A node that dies under a job of train-preemptible.sbatch, with all that runs on it. Usage: node_loss_test.sh BIN_DIRECTORY CASE RUN
# CASE is one of
#   spare  there is another node: the job goes on there from the newest checkpoint, bit by bit as if nothing had been
#   left   there is none, and the batch script was on the one that died: the job goes on on the node that is left, on 2 ranks of 4
# and RUN one of
#   dp     data parallel: on 2 ranks in another grid only by its size
#   tp     with tensor parallel layers and a parted optimizer state, so that a rank takes over what two held
set -euo pipefail
if [ "$2" = spare ]; then nodes=3; else nodes=2; fi
cluster=(--nodes "$nodes" --kill-wait 2)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
hurry_requeued &

run=$3
case $run in
  dp) options=() ;;
  tp) options=(--tp 2 --zero1) ;;
  *) say_and_fail "no run $run" ;;
esac

last_resumed() { # the step; 0 where it has not
  local step
  step=$(sed -n 's/^resumed from step_\([0-9]*\):.*/\1/p' job.out 2>/dev/null | tail -n 1)
  echo "${step:-0}"
}
started() { [ "$(grep -cE '^(resumed from|no checkpoint in)' job.out)" -ge "$1" ]; }

# Slurm finds out by itself.
kill_node() { "$repository/slurm/local-cluster.sh" kill-node "$1"; }
case $2 in
  spare) lose=kill_node node=n2 then_on="n[1,3]" ;;
  left) lose=lose_node node=n1 then_on=n2 ;;
  *) say_and_fail "no case $2" ;;
esac

export PATH=$bin:$PATH
training "$run" --save-every 10 "${options[@]}"
train_until "[ -e enough ]" "$run"
job=$(sbatch --parsable --output=job.out "$repository/slurm/train-preemptible.sbatch" "${train[@]}")
wait_until 120 reached "$run" 20
touch enough
"$lose" "$node"
saved=$(newest_step "$run")
echo "$(date +%T) killed $node, newest checkpoint: step_$saved"
"$bin/muster" verify "$scratch/$run"
wait_until 120 started 2
resumed=$(last_resumed)
echo "$(date +%T) start 2, from step_$resumed"
# A save that only rank 0 had something to do for may have come through after the kill.
((resumed >= saved && resumed <= saved + 10)) || say_and_fail "resumed from step_$resumed"
wait_for_end "$job"
grep -E '^(resumed|train-preemptible)' job.out
[ "$status" -eq 0 ] || say_and_fail "exit status $status"
[ "$(grep -c '^train-preemptible.sbatch: done' job.out)" -eq 1 ] || say_and_fail "a lost node is taken for the end"
says job.out "start 1 on n[1-2]"
says job.out "start 2 on $then_on, newest"
if [ "$2 $run" = "left tp" ]; then
  "$bin/muster" show --json "$scratch/tp" | python3 -c '
import json, sys
grid = json.load(sys.stdin)["grid"]
print("the grid in the end:", grid)
assert (grid["tensor"], grid["data"]) == (2, 1), grid'
fi
if [ "$2" = left ]; then
  start_node "$node"
  both_idle() { [ "$(sinfo -h -N -p low -n n1,n2 -t idle -o %N | wc -l)" -eq 2 ]; }
  wait_until 60 both_idle
fi
steps=$(newest_step "$run")
training whole --steps "$steps" --save-every 10 "${options[@]}"
on_two_nodes "${train[@]}" >whole.out
if [ "$2" = spare ]; then identical=$steps; else identical=$resumed; fi
compare_losses "$run" whole "$steps" "$identical"
"$bin/muster" verify --all "$scratch/$run"
