#pragma once
// All of the core. For LibTorch modules, optimizers and schedulers include <muster/torch.hpp> as well.

#include <muster/checkpoint.hpp>
#include <muster/error.hpp>
#include <muster/grid.hpp>
#include <muster/group_comm.hpp>
#include <muster/policy.hpp>
#include <muster/rules.hpp>
#include <muster/sharding.hpp>
#include <muster/state.hpp>
#include <muster/version.hpp>
