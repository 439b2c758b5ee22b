#pragma once
// All headers of the core. A program with LibTorch modules, optimizers or schedulers also includes <muster/torch.hpp>.

#include <muster/checkpoint.hpp>
#include <muster/error.hpp>
#include <muster/grid.hpp>
#include <muster/group_comm.hpp>
#include <muster/policy.hpp>
#include <muster/rules.hpp>
#include <muster/sample_stream.hpp>
#include <muster/sharding.hpp>
#include <muster/state.hpp>
#include <muster/version.hpp>
