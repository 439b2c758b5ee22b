#!/usr/bin/env bash
# mpirun that also works as root and with more ranks than cores: what the tests and the quickstart launch with.
set -euo pipefail
if [ "$(id -u)" -eq 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
# Ranks that share a core must yield it while they wait; vader's single-copy mode is forbidden in many containers.
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_hwloc_base_binding_policy=none
exec mpirun --oversubscribe "$@"
