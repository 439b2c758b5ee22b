#!/usr/bin/env bash
# How often train-preemptible.sbatch starts again. Usage: restarts_test.sh BIN_DIRECTORY
set -euo pipefail
cluster=(--kill-wait 2)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
hurry_requeued &
template=$repository/slurm/train-preemptible.sbatch

echo "requeued by hand in the middle: goes on"
training requeued --save-every 10
train_until "[ -e enough ]" requeued
job=$(PATH=$bin:$PATH sbatch --parsable --output=requeued.out "$template" "${train[@]}")
wait_until 60 reached requeued 10
touch enough
scontrol requeue "$job"
wait_for_end "$job"
[ "$status" -eq 0 ] || say_and_fail "exit status $status"
says requeued.out "start 2 on n[1-2], newest checkpoint: step_"
says requeued.out "resumed from step_"
steps=$(newest_step requeued)
training whole --steps "$steps" --save-every 10
srun --mpi=pmix -N 2 -n 4 "${train[@]}" >whole.out
compare_losses requeued whole "$steps"
[ ! -e "train-$job.starts" ] || say_and_fail "the notes are left"

echo "crashes after some new steps each time: started again until it is done"
cat >crash_later.sh <<SH
#!/bin/bash
newest=\$(muster latest "$scratch/crashing") || newest=step_0
crash=()
if [ "\${newest#step_}" -lt 20 ]; then crash=(--crash-at \$((\${newest#step_} + 15))); fi
exec "\$@" "\${crash[@]}"
SH
chmod +x crash_later.sh
training crashing --steps 30 --save-every 10
PATH=$bin:$PATH MUSTER_MAX_RESTARTS=1 sbatch --parsable --nodes=1 --output=crashing.out "$template" ./crash_later.sh "${train[@]}" >job
wait_for_end "$(cat job)"
[ "$status" -eq 0 ] || say_and_fail "exit status $status"
says crashing.out "start 3 on n1, newest checkpoint: step_20"
head -n 31 whole.csv >whole30.csv
compare_losses crashing whole30 30 0

echo "ranks that are gone before they know the others: those do not wait for ever, and the job is started again"
cat >early_death.sh <<'SH'
#!/bin/bash
if [ "$SLURM_PROCID" -eq 0 ] && [ -z "${SLURM_RESTART_COUNT-}" ]; then kill -KILL $$; fi
exec "$@"
SH
chmod +x early_death.sh
training early --steps 30 --save-every 10
PATH=$bin:$PATH SLURM_WAIT=3 sbatch --parsable --output=early.out "$template" ./early_death.sh "${train[@]}" >job
wait_for_end "$(cat job)"
[ "$status" -eq 0 ] || say_and_fail "exit status $status"
says early.out "start 2 on n[1-2], newest checkpoint: none"
compare_losses early whole30 30

echo "slurmstepd dies on one node, and leaves its socket: the next start runs there all the same"
training stepd --steps 30 --save-every 10
cat >lose_stepd.sh <<'SH'
#!/bin/bash
if [ "$SLURM_PROCID" -eq 2 ] && [ -z "${SLURM_RESTART_COUNT-}" ]; then kill -KILL "$PPID"; fi
exec "$@"
SH
chmod +x lose_stepd.sh
PATH=$bin:$PATH sbatch --parsable --nodes=2 --output=stepd.out "$template" ./lose_stepd.sh "${train[@]}" >job
touch stepd.out
wait_until 60 grep -qF "start 1 on" stepd.out
sleep 3
scontrol requeue "$(cat job)"
wait_for_end "$(cat job)"
[ "$status" -eq 0 ] || say_and_fail "exit status $status"
says stepd.out "start 2 on n[1-2], newest checkpoint: none"
compare_losses stepd whole30 30

echo "crashes before the first save each time: given up"
training hopeless --steps 30 --save-every 10
MUSTER_MAX_RESTARTS=1 sbatch --parsable --nodes=1 --output=hopeless.out "$template" "${train[@]}" --crash-at 5 >job
wait_for_end "$(cat job)"
[ "$status" -eq 1 ] || say_and_fail "exit status $status"
says hopeless.out "giving up: started again 1 times without progress, the newest checkpoint is still: none"
[ "$(grep -c 'crash-at 5' hopeless.out)" -eq 2 ] || say_and_fail "not started twice"

echo "used in a wrong way: not started again"
submit --nodes=1 --output=usage.out "$template" "${train[@]}" --no-such-option
[ "$status" -eq 2 ] || say_and_fail "exit status $status"
says usage.out "not started again"
submit --output=usage2.out "$template" muster-train
says usage2.out "no --dir"
submit --output=usage3.out "$template"
says usage3.out "submit it with a training command"
