#!/usr/bin/env bash
# Ranks that live on after Slurm has given up their node. Usage: orphan_test.sh BIN_DIRECTORY
# The job goes on on another node; what the orphans still do, ranks and batch script, changes neither its checkpoints nor the job.
set -euo pipefail
cluster=(--kill-wait 2)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"

# Those that were there when the node was lost: the script that stands still has not taken notice of the end of its own.
sruns_have_ended() { ! ps -o stat= -p "$sruns" | grep -qv '^Z'; }

# Slurm's own way to the output ends with the node.
cat >told.sh <<'SH'
#!/bin/bash
exec "$@" 2>>"told.${SLURM_RESTART_COUNT:-0}"
SH
chmod +x told.sh
export PATH=$bin:$PATH
training run --save-every 10
train_until "[ -e enough ]" run
job=$(sbatch --parsable --nodes=1 --output=job.out "$repository/slurm/train-preemptible.sbatch" ./told.sh "${train[@]}")
wait_until 60 reached run 20
says job.out "start 1 on n1"
# As where the network to the node is gone: Slurm loses it, and what runs there lives on; it stands still for now.
mapfile -t ranks < <(pgrep -x muster-train)
script=$(pgrep -x slurm_script)
sruns=$(pgrep -d, -x srun)
kill -STOP "${ranks[@]}" "$script"
"$repository/slurm/local-cluster.sh" kill-node n1 --orphans
step=$(newest_step run)
# The srun of the first start ends a step by its number, and the second start has a step of the same number: Slurm lets jobs wait.
wait_until 120 sruns_have_ended
hurry_requeued &
wait_until 120 grep -qs "start 2 on n2" job.out
wait_until 60 reached run $((step + 30))

echo "$(date +%T) the ranks go on, and come to their next save"
kill -CONT "${ranks[@]}"
wait_until 60 grep -qs "superseded" told.0
cat told.0
grep -q "superseded in .*: generation 2 belongs to job $job (restart 1) on n2" told.0 || say_and_fail "not said by whom"
echo "$(date +%T) what started them goes on, and finds them gone"
kill -CONT "$script"
wait_until 60 grep -qs "train-preemptible.sbatch: Slurm has started the job again already" job.out
step=$(newest_step run)
wait_until 60 reached run $((step + 30))

touch enough
scancel --signal=USR1 "$job"
wait_for_end "$job"
grep -E '^(resumed|train-preemptible)' job.out
[ "$status" -eq 0 ] || say_and_fail "exit status $status"
[ "$(grep -c '^train-preemptible.sbatch: done' job.out)" -eq 1 ] || say_and_fail "done twice"
[ "$(grep -c '^train-preemptible.sbatch: start' job.out)" -eq 3 ] || say_and_fail "the orphans have ended the job that took their place"
steps=$(newest_step run)
training whole --steps "$steps" --save-every 10
srun --mpi=pmix -N 1 -n 2 "${train[@]}" >whole.out
compare_losses run whole "$steps"
"$bin/muster" verify --all "$scratch/run"
"$bin/muster" stats --json "$scratch/run" | python3 -c '
import json, sys
saves = json.load(sys.stdin)["saves"]
generations = [save["generation"] for save in saves if save["outcome"] == "published"]
assert sorted(generations) == generations and set(generations) == {1, 2, 3}, generations
print(*(f"{generations.count(start)} saves of start {start}" for start in (1, 2, 3)), sep=", ")'
