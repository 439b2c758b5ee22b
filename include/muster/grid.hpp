#pragma once
// The map from ranks to the coordinates of a parallel grid.
// All functions are local. Several threads may use the same const object.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <muster/export.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace MUSTER_EXPORT muster {

// The degrees of parallelism, in ranks. Their product is the size of the communicator:
// tensor x context x expert x data x pipeline. Experts have an axis of their own. A tensor that belongs to no expert is
// replicated over the expert axis and over the data axis. Default: 1, except for `data`.
struct Grid {
  int tensor = 1;
  int pipeline = 1;
  // 0: the size of the communicator divided by the product of the other degrees. Default: 0.
  int data = 0;
  int expert = 1;
  int context = 1;
  // The order of the axes, from the one that varies fastest with the rank to the slowest: the names tp, cp, ep, dp and
  // pp, each at most once, joined by '-'. An axis of degree 1 may be left out. The order has the meaning that it has in
  // Megatron-LM, whose --use-tp-pp-dp-mapping is "tp-pp-dp". Default: "tp-cp-ep-dp-pp", as in Megatron-LM.
  std::string order = "tp-cp-ep-dp-pp";
  friend bool operator==(const Grid&, const Grid&) = default;
};

// Returns a text such as "tp=2 cp=1 ep=1 dp=4 pp=1 order=tp-cp-ep-dp-pp".
std::string to_string(const Grid& grid);

// Returns the grid with its data degree computed. Throws Error{usage} with the reason if the degrees do not fit
// `world_size` or if the order is not valid.
Grid resolve(const Grid& grid, int world_size);

enum class Axis : std::uint8_t { tensor, context, expert, data, pipeline };
inline constexpr std::size_t kAxes = 5;
// Returns "tp", "cp", "ep", "dp" or "pp".
std::string_view name(Axis axis);

// Converts ranks to coordinates and coordinates to ranks.
class ParallelGrid {
 public:
  // One entry for each axis, in the order of Axis.
  using Coordinates = std::array<int, kAxes>;

  // Throws Error{usage} for the errors of resolve().
  ParallelGrid(const Grid& grid, int world_size);

  [[nodiscard]] const Grid& grid() const { return grid_; }
  [[nodiscard]] int world_size() const { return world_size_; }
  [[nodiscard]] int degree(Axis axis) const { return degrees_.at(static_cast<std::size_t>(axis)); }
  // These two throw Error{usage} unless 0 <= rank < world_size().
  [[nodiscard]] Coordinates coordinates(int rank) const;
  [[nodiscard]] int coordinate(int rank, Axis axis) const;
  // Throws Error{usage} if a coordinate is negative or not below its degree.
  [[nodiscard]] int rank_at(const Coordinates& coordinates) const;
  // Returns `rank` and the ranks that differ from it only in `axes`, in ascending order. Examples:
  // * the tensor parallel group: {Axis::tensor}
  // * the replicas of its dense parameters: {Axis::context, Axis::expert, Axis::data}
  // * the replicas of its experts: {Axis::context, Axis::data}
  // Throws Error{usage} unless 0 <= rank < world_size().
  [[nodiscard]] std::vector<int> group(int rank, std::initializer_list<Axis> axes) const;
  // Returns the number of that group among all groups over `axes`. It is the same on all ranks of the group and differs
  // from that of every other group. GroupComm makes the communicator of a group.
  [[nodiscard]] int group_number(int rank, std::initializer_list<Axis> axes) const;

 private:
  Grid grid_;
  int world_size_ = 1;
  std::array<int, kAxes> degrees_{};
  std::array<int, kAxes> strides_{};  // distance between two adjacent coordinates, in ranks
};

}  // namespace muster
