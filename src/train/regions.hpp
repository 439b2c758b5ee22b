#pragma once
// Where tensor parallel layers begin and end, as operations with gradients. Between the two each rank of the region
// works on its part; before and after, all hold the same. Collective over the region: copy_to_region in the backward
// pass, sum_of_region in the forward pass. Sums are of float32 whatever the dtype, with the same bits on all ranks.
// In a region of one rank both are x itself. The region must outlive the backward pass.

#include <torch/torch.h>

#include "mpi/comm.hpp"

namespace muster::train {

// x; its gradient is the sum of all ranks'.
torch::Tensor copy_to_region(const torch::Tensor& x, const mpi::CommView& region);

// The sum of all ranks' x, whose gradient is that of the sum.
torch::Tensor sum_of_region(const torch::Tensor& x, const mpi::CommView& region);

}  // namespace muster::train
