#!/usr/bin/env bash
# How often train-preemptible.sbatch starts again. Usage: restarts_test.sh BIN_DIRECTORY
# All jobs run at once, for most of their time they wait for Slurm; each is then looked at by itself.
set -euo pipefail
cluster=(--cpus 20 --kill-wait 2)
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
hurry_requeued &
declare -A jobs
template=$repository/slurm/train-preemptible.sbatch

submit_job() { # submit_job NAME SBATCH_ARGUMENTS...: sets its number in jobs
  local name=$1
  shift
  jobs[$name]=$(sbatch --parsable --output="$name.out" "$@")
}
ends_with() { # ends_with NAME STATUS
  wait_for_end "${jobs[$1]}"
  [ "$status" -eq "$2" ] || say_and_fail "$1: exit status $status, and not $2"
}
export PATH=$bin:$PATH

training requeued --save-every 10
train_until "[ -e enough ]" requeued
submit_job requeued --nodes=2 "$template" "${train[@]}"

cat >crash_later.sh <<SH
#!/bin/bash
newest=\$(muster latest "$scratch/crashing") || newest=step_0
crash=()
if [ "\${newest#step_}" -lt 20 ]; then crash=(--crash-at \$((\${newest#step_} + 15))); fi
exec "\$@" "\${crash[@]}"
SH
chmod +x crash_later.sh
training crashing --steps 30 --save-every 10
MUSTER_MAX_RESTARTS=1 submit_job crashing --nodes=1 "$template" ./crash_later.sh "${train[@]}"

cat >early_death.sh <<'SH'
#!/bin/bash
if [ "$SLURM_PROCID" -eq 0 ] && [ -z "${SLURM_RESTART_COUNT-}" ]; then kill -KILL $$; fi
exec "$@"
SH
chmod +x early_death.sh
training early --steps 30 --save-every 10
SLURM_WAIT=3 submit_job early --nodes=2 "$template" ./early_death.sh "${train[@]}"

cat >lose_stepd.sh <<'SH'
#!/bin/bash
if [ "$SLURM_PROCID" -eq 2 ] && [ -z "${SLURM_RESTART_COUNT-}" ]; then kill -KILL "$PPID"; fi
exec "$@"
SH
chmod +x lose_stepd.sh
training stepd --steps 30 --save-every 10
submit_job stepd --nodes=2 "$template" ./lose_stepd.sh "${train[@]}"

training hopeless --steps 30 --save-every 10
MUSTER_MAX_RESTARTS=1 submit_job hopeless --nodes=1 "$template" "${train[@]}" --crash-at 5
submit_job usage --nodes=1 "$template" "${train[@]}" --no-such-option
submit_job usage2 "$template" muster-train
submit_job usage3 "$template"

touch stepd.out
wait_until 60 grep -qF "start 1 on" stepd.out
sleep 3
scontrol requeue "${jobs[stepd]}"
wait_until 60 reached requeued 10
touch enough
scontrol requeue "${jobs[requeued]}"
training whole30 --steps 30 --save-every 10
on_two_nodes "${train[@]}" >whole30.out

echo "requeued by hand in the middle: goes on"
ends_with requeued 0
says requeued.out "start 2 on n[1-2], newest checkpoint: step_"
says requeued.out "resumed from step_"
steps=$(newest_step requeued)
training whole --steps "$steps" --save-every 10
on_two_nodes "${train[@]}" >whole.out
compare_losses requeued whole "$steps"
[ ! -e "train-${jobs[requeued]}.starts" ] || say_and_fail "the notes are left"

echo "crashes after some new steps each time: started again until it is done"
ends_with crashing 0
grep -q "start 3 on n[12], newest checkpoint: step_20" crashing.out || say_and_fail "not started for the third time from step_20"
compare_losses crashing whole30 30 0

echo "ranks that are gone before they know the others: those do not wait for ever, and the job is started again"
ends_with early 0
says early.out "start 2 on n[1-2], newest checkpoint: none"
compare_losses early whole30 30

echo "slurmstepd dies on one node, and leaves its socket: the next start runs there all the same"
ends_with stepd 0
says stepd.out "start 2 on n[1-2], newest checkpoint: none"
compare_losses stepd whole30 30

echo "crashes before the first save each time: given up"
ends_with hopeless 1
says hopeless.out "giving up: started again 1 times without progress, the newest checkpoint is still: none"
[ "$(grep -c 'crash-at 5' hopeless.out)" -eq 2 ] || say_and_fail "not started twice"

echo "used in a wrong way: not started again"
ends_with usage 2
says usage.out "not started again"
ends_with usage2 2
says usage2.out "no --dir"
ends_with usage3 2
says usage3.out "submit it with a training command"
