// The fmt of the system, and not the one beside LibTorch's headers.
#include <fmt/format.h>
#include <torch/torch.h>

int main() { return FMT_VERSION > 0 ? 0 : 1; }
