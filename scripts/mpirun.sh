#!/usr/bin/env bash
# The MPI launcher that is there (Open MPI's or MPICH's), also as root and with more ranks than cores: what the tests and the
# quickstart launch with. Takes the launcher's arguments; `-n RANKS PROGRAM` is what all of them know.
# MUSTER_MPIRUN names another launcher than the `mpirun` in PATH, for instance mpirun.mpich.
set -euo pipefail
launcher=${MUSTER_MPIRUN:-mpirun}
version=$("$launcher" --version 2>/dev/null) || {
  echo "mpirun.sh: cannot run \"$launcher --version\": install an MPI, or name its launcher in MUSTER_MPIRUN" >&2
  exit 127
}

# Ranks that share a core must yield it while they wait, and not be bound to one; copies from process to process are forbidden
# in many containers.
case "$version" in
  *"(Open MPI) "[1-4].*)
    export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1
    export OMPI_MCA_btl_vader_single_copy_mechanism=none
    options=(--oversubscribe)
    ;;
  *"(Open MPI) "*)
    export OMPI_MCA_mpi_yield_when_idle=1 PRTE_MCA_hwloc_default_binding_policy=none
    export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe OMPI_MCA_smsc=^cma
    options=()
    ;;
  *)
    # MPICH's launcher passes on the whole environment and binds nothing; others are taken to do so, too.
    export MPIR_CVAR_ENABLE_HEAVY_YIELD=1 MPIR_CVAR_POLLS_BEFORE_YIELD=100
    exec "$launcher" "$@"
    ;;
esac
if [ "$(id -u)" -eq 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
# Open MPI passes only its own variables on to other nodes.
for name in "${!MUSTER_@}"; do options+=(-x "$name"); done
exec "$launcher" "${options[@]}" "$@"
