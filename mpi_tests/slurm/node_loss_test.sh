#!/usr/bin/env bash
# Nodes that die under a job of train-preemptible.sbatch, with all that runs on them. Usage: node_loss_test.sh BIN_DIRECTORY
# It goes on from the newest checkpoint: on a spare node bit by bit as if nothing had been, and on the one node that is left.
set -euo pipefail
cluster=(--nodes 3 --kill-wait 2)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"

lose() { # lose NODE STEP STARTS: kills the node when that step is saved, and waits for that many starts of the job
  wait_until 120 reached run "$2"
  "$repository/slurm/local-cluster.sh" kill-node "$1"
  local newest resumed
  newest=$(newest_step run)
  echo "$(date +%T) killed $1, newest checkpoint: step_$newest"
  "$bin/muster" verify "$scratch/run"
  wait_until 120 started "$3"
  resumed=$(last_resumed)
  echo "$(date +%T) start $3, from step_$resumed"
  # A save that only rank 0 had something to do for may have come through after the kill.
  ((resumed >= newest && resumed <= newest + 10)) || say_and_fail "resumed from step_$resumed"
}
last_resumed() { sed -n 's/^resumed from step_\([0-9]*\):.*/\1/p' job.out | tail -n 1; }
started() { [ "$(grep -cE '^(resumed from|no checkpoint in)' job.out)" -ge "$1" ]; }

export PATH=$bin:$PATH
training run --save-every 10
train_until "[ -e enough ]" run
job=$(sbatch --parsable --output=job.out "$repository/slurm/train-preemptible.sbatch" "${train[@]}")
hurry "$job" &
lose n2 30 2
# The node of the batch script, too.
touch enough
lose n1 $(($(last_resumed) + 50)) 3
wait_for_end "$job"
grep -E '^(resumed|train-preemptible)' job.out
[ "$status" -eq 0 ] || say_and_fail "exit status $status"
[ "$(grep -c '^train-preemptible.sbatch: done' job.out)" -eq 1 ] || say_and_fail "a lost node is taken for the end"
says job.out "start 1 on n[1-2]"
says job.out "on n[1,3]"
says job.out "on n3, newest"
steps=$(newest_step run)
training whole --steps "$steps" --save-every 10
for node in n1 n2; do "$repository/slurm/local-cluster.sh" start-node "$node"; done
both_idle() { [ "$(sinfo -h -N -p low -n n1,n2 -t idle -o %N | wc -l)" -eq 2 ]; }
wait_until 60 both_idle
srun --mpi=pmix -N 2 -n 4 "${train[@]}" >whole.out
compare_losses run whole "$steps" "$(last_resumed)"
"$bin/muster" verify --all "$scratch/run"
