#pragma once
// How ranks map to parallel coordinates. Plain data, local.

namespace muster {

// Degrees of parallelism. Their product is the size of the communicator; `data == 0` stands for what is left of it.
struct Grid {
  int tensor = 1;
  int pipeline = 1;
  int data = 0;
  int expert = 1;
  friend bool operator==(const Grid&, const Grid&) = default;
};

// The grid with its data degree filled in. Throws Error{usage} where it does not fit the world size.
Grid resolve(const Grid& grid, int world_size);

}  // namespace muster
