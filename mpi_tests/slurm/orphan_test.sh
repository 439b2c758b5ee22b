#!/usr/bin/env bash
# Ranks that live on after Slurm has given up their node. Usage: orphan_test.sh BIN_DIRECTORY
# The job goes on on another node; what the orphans still do, ranks and batch script, changes neither its checkpoints nor the job.
set -euo pipefail
cluster=(--kill-wait 2)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"

published() { # published STEP
  local tag
  tag=$("$bin/muster" latest "$scratch/run" 2>/dev/null) && [ "${tag#step_}" -ge "$1" ]
}
# All that runs on a node, but for its slurmd.
processes_on() { # processes_on NODE
  local space process
  space=$(cat "$(dirname "$(dirname "$SLURM_CONF")")/run/$1.space")
  for process in /proc/[0-9]*; do
    [ "$(readlink "$process/ns/mnt" 2>/dev/null)" = "$space" ] || continue
    [ "$(cat "$process/comm" 2>/dev/null)" = slurmd ] || echo "${process#/proc/}"
  done
}

# Slurm's own way to the output ends with the node.
cat >told.sh <<'SH'
#!/bin/bash
exec "$@" 2>>"told.${SLURM_RESTART_COUNT:-0}"
SH
chmod +x told.sh
export PATH=$bin:$PATH
training whole --steps 600 --save-every 10
srun --mpi=pmix -N 1 -n 2 "${train[@]}" >whole.out
training run --steps 600 --save-every 10
job=$(sbatch --parsable --nodes=1 --output=job.out "$repository/slurm/train-preemptible.sbatch" ./told.sh "${train[@]}")
hurry "$job" &
wait_until 60 published 20
says job.out "start 1 on n1"
# As where the network to the node is gone: Slurm loses it, and what runs there lives on; it stands still for now.
mapfile -t ranks < <(pgrep -x muster-train)
mapfile -t orphans < <(processes_on n1)
kill -STOP "${orphans[@]}"
"$repository/slurm/local-cluster.sh" kill-node n1 --orphans
newest=$("$bin/muster" latest "$scratch/run")
wait_until 120 grep -qs "start 2 on n2" job.out
wait_until 60 published $((${newest#step_} + 30))

echo "$(date +%T) the ranks go on, and come to their next save"
kill -CONT "${ranks[@]}"
wait_until 60 grep -qs "superseded" told.0
cat told.0
grep -q "superseded in .*: generation 2 belongs to job $job (restart 1) on n2" told.0 || say_and_fail "not said by whom"
echo "$(date +%T) what started them goes on, and finds them gone"
kill -CONT "${orphans[@]}" || true # those that have ended
wait_until 60 grep -qs "train-preemptible.sbatch: Slurm has started the job again already" job.out

wait_for_end "$job"
grep -E '^(resumed|train-preemptible)' job.out
[ "$status" -eq 0 ] || say_and_fail "exit status $status"
[ "$(grep -c '^train-preemptible.sbatch: done' job.out)" -eq 1 ] || say_and_fail "done twice"
[ "$(grep -c '^train-preemptible.sbatch: start' job.out)" -eq 2 ] || say_and_fail "the orphans have ended the job that took their place"
compare_losses run whole 600
"$bin/muster" verify --all "$scratch/run"
"$bin/muster" stats --json "$scratch/run" | python3 -c '
import json, sys
saves = json.load(sys.stdin)["saves"]
generations = [save["generation"] for save in saves if save["outcome"] == "published"]
assert sorted(generations) == generations and set(generations) == {1, 2}, generations
print(f"{generations.count(1)} saves of the first start, then {generations.count(2)} of the second")'
