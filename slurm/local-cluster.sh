#!/usr/bin/env bash
# A throw-away Slurm cluster of several emulated nodes on this machine: for tests, and for trying things out.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: slurm/local-cluster.sh up [OPTIONS]
       slurm/local-cluster.sh run [OPTIONS] COMMAND [ARGUMENTS]
       slurm/local-cluster.sh down [--dir T]
       slurm/local-cluster.sh kill-node NODE [--orphans] [--dir T]
       slurm/local-cluster.sh start-node NODE [--dir T]

A Slurm cluster without systemd, everything in one folder. Its nodes n1, n2, ... have their own host name and their own
/dev/shm, so MPI takes them for different hosts. Partitions: `low` (the default; its jobs are preempted and requeued) and
`high` (preempts them).

  up          starts a cluster and leaves it running; prints what to export to use it, so this works:
                  eval "$(slurm/local-cluster.sh up)" && sbatch slurm/train.sbatch muster-train ... && squeue
  run         starts a cluster in a box of its own (own processes, own network), runs COMMAND in it, and ends with the
              exit status of COMMAND. Nothing in the box outlives it, however it ends. Any number of them at once.
  down        stops the cluster that `up` started, and all jobs with it
  kill-node   SIGKILL to everything on a node, as if it lost power. With --orphans to its slurmd alone: Slurm loses the
              node, but what ran there lives on. Slurm notices after some seconds.
  start-node  switches a killed node on again

  --nodes N      this many nodes (default 2)
  --cpus C       this many CPUs a node, however many there are (default 2)
  --dir T        the folder of the cluster: logs, spool, keys (default of `up`: /tmp/muster-slurm-UID; of `run`: a new
                 one in /tmp, removed at the end). A folder given to `run` is kept, logs and all. At most 70 characters.
  --grace S      seconds from the signal of a preemption to the next (GraceTime of `low`, default 0)
  --kill-wait S  seconds from SIGTERM to SIGKILL (KillWait, default 10)

As root, or as a user where user namespaces are allowed. Needs slurmctld, slurmd, the Slurm commands and munge
(scripts/install-deps.sh installs them).

Exit status: 0 fine, 2 wrong usage, 3 the cluster did not start (or stop); of `run`: that of COMMAND.
TEXT
}

self=$(readlink -f "${BASH_SOURCE[0]}")
# Where Debian keeps the daemons; not every user has it.
PATH=$PATH:/usr/sbin:/sbin

usage_error() {
  echo "local-cluster: $* (see --help)" >&2
  exit 2
}
fail() {
  echo "local-cluster: $*" >&2
  exit 3
}

# --- what the command line says ---

action=${1-}
[ $# -gt 0 ] && shift
nodes=2
cpus=2
dir=
grace=0
kill_wait=10
orphans=
words=()
while [ $# -gt 0 ]; do
  case $1 in
    --nodes | --cpus | --dir | --grace | --kill-wait)
      [ $# -ge 2 ] || usage_error "$1 wants a value"
      case $1 in
        --nodes) nodes=$2 ;;
        --cpus) cpus=$2 ;;
        --dir) dir=$2 ;;
        --grace) grace=$2 ;;
        --kill-wait) kill_wait=$2 ;;
      esac
      shift 2
      ;;
    --orphans) orphans=yes && shift ;;
    -h | --help) usage && exit 0 ;;
    --)
      shift
      words+=("$@")
      break
      ;;
    -*) usage_error "unknown option \"$1\"" ;;
    *)
      words+=("$1")
      shift
      # What follows the command is the command's own.
      if [ "$action" = run ] || [ "$action" = __box ]; then
        words+=("$@")
        break
      fi
      ;;
  esac
done
case $action in
  -h | --help) usage && exit 0 ;;
  "") usage_error "what to do: up, run, down, kill-node or start-node" ;;
  up | down) [ ${#words[@]} -eq 0 ] || usage_error "$action takes no \"${words[0]}\"" ;;
  run) [ ${#words[@]} -gt 0 ] || usage_error "run wants a command" ;;
  kill-node | start-node) [ ${#words[@]} -eq 1 ] || usage_error "$action wants one node, such as n1" ;;
  __box) ;;
  *) usage_error "unknown command \"$action\"" ;;
esac
for number in "$nodes" "$cpus" "$grace" "$kill_wait"; do
  [[ $number =~ ^[0-9]{1,4}$ ]] || usage_error "\"$number\" is not a number"
done
((nodes >= 1 && nodes <= 64)) || usage_error "--nodes is $nodes, and must be from 1 to 64"
((cpus >= 1)) || usage_error "--cpus must be at least 1"
[ -n "$dir" ] && dir=$(readlink -m "$dir")

# --- outside of the box ---

check_tools() {
  local pair
  for pair in slurmctld:slurmctld slurmd:slurmd srun:slurm-client sinfo:slurm-client munged:munge unshare:util-linux \
    setpriv:util-linux ip:iproute2; do
    [ -x "$(type -P "${pair%:*}")" ] ||
      fail "${pair%:*} is not installed: it is in the package ${pair#*:} (scripts/install-deps.sh installs it)"
  done
}

# All that live in a namespace.
processes_in() { # processes_in KIND NAMESPACE: KIND as in /proc/self/ns
  local space process
  while read -r space process; do
    [ "$space" = "$2" ] || continue
    process=${process#/proc/} process=${process%%/*}
    [ "$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$process/status" 2>/dev/null)" != Z ] || continue
    echo "$process"
  done < <(find /proc/[0-9]*/ns/"$1" -maxdepth 0 -printf '%l %p\n' 2>/dev/null)
}

# Own processes, mounts and host names, and a network if asked. As a user by way of a user namespace, whose capabilities the
# box needs and takes from everything that it starts.
box_arguments() { # box_arguments [--net]
  box=(unshare --mount --uts --pid --fork --kill-child --mount-proc "$@")
  if [ "$(id -u)" -ne 0 ]; then box+=(--user --map-current-user --keep-caps); fi
  local why
  why=$("${box[@]}" true 2>&1) ||
    fail "cannot make namespaces here (${why:-unshare failed}): run as root, or where user namespaces are allowed"
}

make_folder() { # make_folder T: and everything in it
  [ ${#1} -le 70 ] || fail "$1 is longer than the 70 characters with which Slurm works"
  [[ $1 =~ ^[A-Za-z0-9/._-]+$ ]] || fail "$1 has characters that slurm.conf does not take"
  (umask 022 && mkdir -p "$1")
  mkdir -m 711 "$1/munge" || fail "there is something in $1 already"
  mkdir "$1"/{etc,log,state,spool,run,tmp}
  echo "made by muster's slurm/local-cluster.sh" >"$1/run/mark"
}

remove_folder() { # remove_folder T: if it is one of ours
  [ -e "$1/run/mark" ] || return 0
  rm -rf "${1:?}"/{munge,etc,log,state,spool,run,tmp}
  rmdir "$1" 2>/dev/null || true
}

is_up() { # is_up T: sets pid, of the process that holds the box
  [ -r "$1/run/box.pid" ] || return 1
  pid=$(cat "$1/run/box.pid")
  # The number may belong to somebody else by now.
  { tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF -- "__box --dir $1 " || return 1
}

up() {
  check_tools
  dir=${dir:-/tmp/muster-slurm-$(id -u)}
  if is_up "$dir"; then fail "a cluster is up in $dir already (stop it: slurm/local-cluster.sh down --dir $dir)"; fi
  box_arguments
  remove_folder "$dir"
  make_folder "$dir"
  setsid "${box[@]}" bash "$self" __box --dir "$dir" --nodes "$nodes" --cpus "$cpus" --grace "$grace" \
    --kill-wait "$kill_wait" </dev/null >"$dir/log/box.log" 2>&1 &
  echo $! >"$dir/run/box.pid"
  local waited
  for ((waited = 0; waited < 900; waited++)); do # the box gives up earlier
    if [ -e "$dir/run/ready" ]; then
      cat "$dir/run/exports"
      echo "local-cluster: up: nodes n1 to n$nodes of $cpus CPUs, logs in $dir/log" >&2
      echo "local-cluster: export what is printed on the standard output, then use sbatch, srun, squeue as always;" \
        "stop it: slurm/local-cluster.sh down --dir $dir" >&2
      return
    fi
    is_up "$dir" || [ "$waited" -lt 10 ] || break
    sleep 0.1
  done
  cat "$dir/log/box.log" >&2
  if is_up "$dir"; then kill -KILL "$pid"; fi
  fail "the cluster did not start; logs are in $dir/log"
}

down() {
  dir=${dir:-/tmp/muster-slurm-$(id -u)}
  if ! is_up "$dir"; then
    remove_folder "$dir"
    echo "local-cluster: no cluster is up in $dir" >&2
    return
  fi
  # With the first process of the box all others in it end.
  local space waited
  space=$(cat "$dir/run/box.space")
  kill -KILL "$pid"
  for ((waited = 0; waited < 100; waited++)); do
    if ! processes_in pid "$space" | grep -q .; then
      remove_folder "$dir"
      return
    fi
    sleep 0.1
  done
  fail "the cluster in $dir does not end: process $(processes_in pid "$space" | head -n 1) lives on"
}

run() {
  check_tools
  box_arguments --net
  local temporary=
  if [ -z "$dir" ]; then
    dir=$(mktemp -d /tmp/muster-slurm-XXXXXX)
    temporary=yes
  fi
  make_folder "$dir"
  # If this script is killed, its child is, and with it all that is in the box. unshare itself heeds no SIGTERM.
  local child status=0
  setpriv --pdeathsig KILL "${box[@]}" bash "$self" __box --dir "$dir" --nodes "$nodes" --cpus "$cpus" --grace "$grace" \
    --kill-wait "$kill_wait" -- "${words[@]}" <&0 &
  child=$!
  local signal
  for signal in HUP:129 INT:130 TERM:143; do
    # shellcheck disable=SC2064  # what it says now
    trap "kill -KILL $child; { wait $child || true; } 2>/dev/null; [ -z '$temporary' ] || remove_folder '$dir'; exit ${signal#*:}" \
      "${signal%:*}"
  done
  wait "$child" || status=$?
  [ -z "$temporary" ] || remove_folder "$dir"
  exit "$status"
}

# --- nodes that die ---

find_node() { # find_node NODE: sets dir, to the cluster that is in use here
  if [ -z "$dir" ] && [ -n "${SLURM_CONF-}" ]; then dir=$(dirname "$(dirname "$SLURM_CONF")"); fi
  dir=${dir:-/tmp/muster-slurm-$(id -u)}
  [ -r "$dir/run/$1.space" ] || fail "no node $1 in $dir"
}

# By the mount namespace of the node, which its slurmd and all that it started have and nothing else has. At once, as far as
# that goes: all stand still first, so that nobody can tell Slurm of a child's death, and children are killed before their
# parents, whose death would have the kernel continue a child that a test had stopped.
kill_node() {
  local node=${words[0]} space process found all first=yes
  find_node "$node"
  space=$(cat "$dir/run/$node.space")
  while :; do
    found=$(processes_in mnt "$space" | sort -rn)
    all=()
    for process in $found; do
      if [ "$process" -eq $$ ]; then continue; fi
      if [ -n "$orphans" ] && [ "$(cat "/proc/$process/comm" 2>/dev/null)" != slurmd ]; then continue; fi
      if kill -STOP "$process" 2>/dev/null; then all+=("$process"); fi
    done
    [ ${#all[@]} -gt 0 ] || break
    kill -KILL "${all[@]}" 2>/dev/null || true
    first=
  done
  [ -z "$first" ] || fail "nothing runs on $node"
}

start_node() {
  local node=${words[0]}
  find_node "$node"
  : >"$dir/run/$node.start"
}

# --- inside the box, as its first process ---

# What users of the cluster export.
write_exports() {
  local line
  {
    echo "SLURM_CONF=$dir/etc/slurm.conf"
    # Open MPI leaves out the loopback otherwise, and it is all there is between these nodes.
    echo "OMPI_MCA_btl_tcp_if_include=lo"
    echo "OMPI_MCA_oob_tcp_if_include=lo"
    # srun does not tell Open MPI that several ranks share a core.
    echo "OMPI_MCA_mpi_yield_when_idle=1"
    # One rank may not read the memory of another in many containers.
    echo "OMPI_MCA_btl_vader_single_copy_mechanism=none"
    echo "OMPI_MCA_hwloc_base_binding_policy=none"
    # Launches keep their files in a folder that is named after the host and the process of mpirun, and two clusters have both in
    # common: the first launch to end removes the files of the other.
    echo "OMPI_MCA_orte_tmpdir_base=$dir/tmp"
    # The same for Open MPI 5.
    echo "OMPI_MCA_smsc=^cma"
    echo "PRTE_MCA_hwloc_default_binding_policy=none"
    echo "PRTE_MCA_prte_tmpdir_base=$dir/tmp"
    if [ "$(id -u)" -eq 0 ]; then
      echo "OMPI_ALLOW_RUN_AS_ROOT=1"
      echo "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    fi
  } | while read -r line; do echo "export $line"; done >"$dir/run/exports"
}

# The first of a block of 200 ports of which none that matters is taken.
choose_ports() {
  local try port
  for ((try = 0; try < 50; try++)); do
    first_port=$((20000 + RANDOM % 60 * 200))
    for ((port = first_port; port <= first_port + nodes; port++)); do
      if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue 2; fi
    done
    return
  done
  fail "no free ports"
}

write_configuration() {
  local me i memory_mib slurmd_timeout=5
  me=$(id -un)
  memory_mib=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
  # Slurm 24.11 may ask a node again before it has noted the last answer, and takes a node of a busy machine for gone after 5 s.
  if [[ $(slurmctld -V) =~ ([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 23 ]; then slurmd_timeout=10; fi
  (umask 077 && head -c 1024 /dev/urandom >"$dir/munge/munge.key")
  {
    cat /etc/hosts
    echo "127.0.0.1 $(hostname)"
    for ((i = 1; i <= nodes; i++)); do echo "127.0.0.1 n$i"; done
  } >"$dir/etc/hosts"
  cat >"$dir/etc/slurm.conf" <<CONF
ClusterName=throwaway
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=$first_port
SlurmUser=$me
SlurmdUser=$me
AuthType=auth/munge
# A requeued job waits until credentials have expired: 121 s by default.
AuthInfo=socket=$dir/munge/munge.sock,cred_expire=5
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
# No SrunPortRange: all nodes have one address, so the srun of a job's next start would get what is left of the one before it.
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
TmpFS=$dir/tmp/%n
SlurmctldPidFile=$dir/run/slurmctld.pid
SlurmdPidFile=$dir/run/slurmd-%n.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/log/jobcomp.txt
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
MpiDefault=pmix
ReturnToService=2
# A node that is gone is DOWN after 16 s (or see above), and its job starts again 6 s later. Shorter, and a busy machine loses messages.
SlurmdTimeout=$slurmd_timeout
MessageTimeout=5
TCPTimeout=1
JobRequeue=1
RequeueExit=85
# Of ended jobs it tells for 300 s by default, which is short on a busy machine.
MinJobAge=3600
KillWait=$kill_wait
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n[1-$nodes] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[$((first_port + 1))-$((first_port + nodes))] CPUs=$cpus RealMemory=$memory_mib State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=$grace
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
  # Slurm of Debian 12 cannot do without, and finds none where version 1 and 2 are mounted side by side.
  echo "CgroupPlugin=cgroup/v1" >"$dir/etc/cgroup.conf"
  # With the other way of exchanging addresses one start in twenty crashes on several nodes of one machine.
  echo "PMIxCollFence=ring" >"$dir/etc/mpi.conf"
}

# Runs a node as long as the box lives: when its slurmd has ended, the node is off until it is started again.
keep_node() { # keep_node NODE
  while :; do
    # What jobs that died with the node have left there; the same job may come again, and would not start. Orphans keep theirs.
    if [ ! -e "$dir/run/$1.space" ] || ! processes_in mnt "$(cat "$dir/run/$1.space")" | grep -q .; then
      rm -rf "${dir:?}/spool/$1" "${dir:?}/tmp/$1"
      mkdir "$dir/spool/$1" && mkdir -m 1777 "$dir/tmp/$1"
    fi
    # shellcheck disable=SC2016  # for the inner shell
    unshare --uts --mount sh -c '
      hostname "$1" && mount --bind "$2/etc/hosts" /etc/hosts && mount -t tmpfs -o mode=1777 tmpfs /dev/shm || exit 1
      readlink /proc/self/ns/mnt >"$2/run/$1.space"
      node=$1; dir=$2; shift 2
      exec "$@" slurmd -D -N "$node" >>"$dir/log/slurmd-$node.out" 2>&1' sh "$1" "$dir" "${drop[@]}" || true
    until [ -e "$dir/run/$1.start" ]; do sleep 0.1; done
    rm -f "$dir/run/$1.start"
  done
}

wait_for() { # wait_for SECONDS WHAT COMMAND...: or fail, with what the logs say, at once if one of ${daemons[@]} has ended
  local seconds=$1 what=$2 end=$((SECONDS + $1)) daemon
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || { show_logs && fail "$what after $seconds s"; }
    for daemon in "${daemons[@]}"; do
      kill -0 "$daemon" 2>/dev/null || { show_logs && fail "$what: a daemon has ended"; }
    done
    sleep 0.05
  done
}
show_logs() { tail -n 5 "$dir"/log/* >&2; }
all_idle() { [ "$(sinfo -h -N -p low -t idle -o %N | wc -l)" -eq "$nodes" ]; }

box() {
  local name i
  readlink /proc/self/ns/pid >"$dir/run/box.space"
  # Nothing of a job around this cluster, and nothing of another one.
  for name in "${!SLURM@}" "${!SBATCH_@}" "${!PMIX_@}" "${!PMI_@}" "${!OMPI_COMM_@}" "${!PRTE_@}"; do unset "$name"; done
  drop=(env)
  if [ "$(id -u)" -ne 0 ]; then drop=(setpriv --inh-caps=-all --ambient-caps=-all); fi
  if [ ${#words[@]} -gt 0 ]; then
    # With 127.0.0.1 alone Slurm does not find its own host, and inside a job mpirun of Open MPI 5.0.7 crashes (SIGSEGV) on a
    # host that has no other interface than the loopback.
    hostname login
    ip link set lo up
    if ip link add muster0 type dummy 2>/dev/null || ip link add muster0 type veth peer name muster1 2>/dev/null ||
      ip tuntap add muster0 mode tap 2>/dev/null; then
      ip addr add 198.51.100.1/32 dev muster0
      ip link set muster0 up
    else
      ip addr add 198.51.100.1/32 dev lo
    fi
  fi
  choose_ports
  write_configuration
  write_exports
  if [ ${#words[@]} -gt 0 ]; then mount --bind "$dir/etc/hosts" /etc/hosts; fi
  # shellcheck disable=SC1091
  . "$dir/run/exports"

  "${drop[@]}" munged -F --force --key-file="$dir/munge/munge.key" --socket="$dir/munge/munge.sock" \
    --pid-file="$dir/munge/munged.pid" --log-file="$dir/log/munged.log" --seed-file="$dir/munge/munge.seed" \
    >"$dir/log/munged.out" 2>&1 </dev/null &
  daemons=($!)
  wait_for 20 "munged does not answer" munge -n -S "$dir/munge/munge.sock"
  "${drop[@]}" slurmctld -D >"$dir/log/slurmctld.out" 2>&1 </dev/null &
  daemons+=($!)
  for ((i = 1; i <= nodes; i++)); do keep_node "n$i" </dev/null >>"$dir/log/box.log" 2>&1 & done
  wait_for 60 "the nodes are not idle" all_idle
  : >"$dir/run/ready"

  if [ ${#words[@]} -eq 0 ]; then
    # Until `down`. The first process of the box also buries what others leave behind.
    while :; do sleep 3600; done
  fi
  local status=0
  "${drop[@]}" "${words[@]}" || status=$?
  exit "$status"
}

case $action in
  up) up ;;
  down) down ;;
  run) run ;;
  kill-node) kill_node ;;
  start-node) start_node ;;
  __box) box ;;
esac
