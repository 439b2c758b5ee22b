#!/usr/bin/env bash
# Which signals reach the ranks under the templates, and that the job starts again. Usage: signals_test.sh BIN_DIRECTORY
# The ranks are no training, but shells that write down what they get, take a second as if they saved, and end with 75.
set -euo pipefail
cluster=(--cpus 16 --kill-wait 5) # all jobs run at the same time
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/in_cluster.sh"
hurry_requeued &
export PATH=$bin:$PATH

cat >rank.sh <<'SH'
#!/bin/bash
# rank.sh STARTS --dir DIR: on the last start there is nothing left to do.
rank=${SLURM_PROCID:-0}
if [ -n "${OMPI_COMM_WORLD_RANK-}" ]; then rank=$OMPI_COMM_WORLD_RANK; fi
got=
for signal in USR1 TERM; do trap "got=$signal; echo rank $rank got $signal" $signal; done
echo "rank $rank started"
[ "${SLURM_RESTART_COUNT:-0}" -lt $(($1 - 1)) ] || exit 0
# Waits for what nobody writes, without a process: Slurm sends a signal to all processes of a step, and a sleep would end with it.
exec {nothing}<> <(:)
while [ -z "$got" ]; do read -rt 0.1 -u "$nothing"; done
for _ in {1..10}; do read -rt 0.1 -u "$nothing"; done
echo "rank $rank saved"
exit 75
SH
chmod +x rank.sh
all_say() { # all_say FILE TIMES TEXT: each of the 4 ranks, at least so many times
  [ "$(grep -sE "^rank [0-3] $3" "$1" | sort | uniq -c | awk -v times="$2" '$1 >= times' | wc -l)" -eq 4 ]
}
template=$repository/slurm/train-preemptible.sbatch

declare -A jobs
start() { # start NAME SBATCH_OPTIONS...: sets its number in jobs
  local name=$1
  shift
  jobs[$name]=$(sbatch --parsable --nodes=2 --output="$name.out" "$@" "$template" ./rank.sh 2 --dir "$scratch/none")
}
are_up() { # are_up NAME...: all their ranks
  local name
  for name in "$@"; do wait_until 30 all_say "$name.out" 1 started; done
}
ended() { # ended NAME SIGNAL: each rank got it, saved, and started again
  wait_for_end "${jobs[$1]}" 60
  [ "$status" -eq 0 ] || say_and_fail "$1: exit status $status"
  all_say "$1.out" 1 "got $2" || say_and_fail "$1: not $2 at each rank"
  all_say "$1.out" 1 saved || say_and_fail "$1: killed before all had saved"
  all_say "$1.out" 2 started || say_and_fail "$1: not started twice"
  grep -qE "train-preemptible.sbatch: (stopped early, to be started again|Slurm has started the job again already)" "$1.out" ||
    say_and_fail "$1: does not say that it is started again"
  says "$1.out" "train-preemptible.sbatch: done"
  echo "$1: $2 at each rank, time to save, started again"
}

# One job preempts three, each as its partition has it.
partition=(Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1)
# What the cluster calls GraceTime, and the job's own signal at its beginning. In the partition of the others, where it is 0,
# the signal and SIGTERM come at once, and to some ranks twice.
scontrol create PartitionName=graceful "${partition[@]}" PreemptMode=REQUEUE GraceTime=10
# Where Slurm only ends what it preempts, the template starts it again.
scontrol create PartitionName=ending "${partition[@]}" PreemptMode=CANCEL GraceTime=0
start preempted
start graceful --partition=graceful
start ended --partition=ending
are_up preempted graceful ended
high=$(sbatch --parsable --partition=high --nodes=2 --exclusive --output=high.out --wrap "sleep 2")
wait_for_end "$high" 60
[ "$(scontrol show job "$high" | grep -c JobState=COMPLETED)" -eq 1 ] || say_and_fail "the job that preempts has not ended well"

# Each of these for itself, all at once, while those wait for their next start.
start warned
start requeued
start cancelled
mpirun=$(sbatch --parsable --output=mpirun.out "$repository/slurm/train-mpirun.sbatch" ./rank.sh 2)
are_up warned requeued cancelled mpirun
scancel --signal=USR1 "${jobs[warned]}"
scontrol requeue "${jobs[requeued]}"
# Whoever cancels a job means it.
scancel "${jobs[cancelled]}"
# mpirun hands on what comes to the batch script.
scancel --batch --signal=USR1 "$mpirun"

ended preempted TERM
ended graceful USR1
wait_for_end "${jobs[ended]}" 60
[ "$(grep -c '^train-preemptible.sbatch: start' ended.out)" -ge 2 ] || say_and_fail "ended: not started again"
ended warned USR1
ended requeued TERM

wait_for_end "${jobs[cancelled]}" 60
all_say cancelled.out 1 saved || say_and_fail "cancelled: killed before all had saved"
wait_until 20 grep -qs "the job was cancelled; not started again" cancelled.out
sleep 1
[ -z "$(squeue -h -j "${jobs[cancelled]}" -t PENDING,RUNNING 2>/dev/null)" ] || say_and_fail "cancelled: started again"
[ "$(grep -c '^train-preemptible.sbatch: start' cancelled.out)" -eq 1 ] || say_and_fail "cancelled: started again"
echo "cancelled: TERM at each rank, time to save, not started again"

wait_for_end "$mpirun" 60
[ "$status" -eq 75 ] || say_and_fail "mpirun: exit status $status"
all_say mpirun.out 1 "got USR1" || say_and_fail "mpirun: not USR1 at each rank"
all_say mpirun.out 1 saved || say_and_fail "mpirun: killed before all had saved"
says mpirun.out "not done yet"
echo "mpirun: USR1 at each rank, time to save"
