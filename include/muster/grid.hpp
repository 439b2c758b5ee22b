#pragma once
// How ranks map to parallel coordinates. Everything here is local.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <muster/export.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace MUSTER_EXPORT muster {

// Degrees of parallelism. Their product is the size of the communicator; `data == 0` stands for what is left of it.
// Experts have an axis of their own: the world is tensor x context x expert x data x pipeline, and what is no expert's
// is replicated over `expert` as it is over `data`.
struct Grid {
  int tensor = 1;
  int pipeline = 1;
  int data = 0;
  int expert = 1;
  int context = 1;
  // Which axis goes from one rank to the next, then which goes slower, and so on: the names tp, cp, ep, dp, pp, each at
  // most once, joined by '-'. An axis of degree 1 may be left out. As Megatron-LM's --use-tp-pp-dp-mapping and its
  // default "tp-cp-ep-dp-pp" understand it.
  std::string order = "tp-cp-ep-dp-pp";
  friend bool operator==(const Grid&, const Grid&) = default;
};

// "tp=2 cp=1 ep=1 dp=4 pp=1 order=tp-cp-ep-dp-pp".
std::string to_string(const Grid& grid);

// The grid with its data degree filled in. Throws Error{usage} that says why where it does not fit the world size, or
// where the order cannot be.
Grid resolve(const Grid& grid, int world_size);

enum class Axis : std::uint8_t { tensor, context, expert, data, pipeline };
inline constexpr std::size_t kAxes = 5;
// "tp", "cp", "ep", "dp", "pp".
std::string_view name(Axis axis);

// From ranks to coordinates and back.
class ParallelGrid {
 public:
  // One entry an axis, in the order of Axis.
  using Coordinates = std::array<int, kAxes>;

  // Throws as resolve().
  ParallelGrid(const Grid& grid, int world_size);

  [[nodiscard]] const Grid& grid() const { return grid_; }
  [[nodiscard]] int world_size() const { return world_size_; }
  [[nodiscard]] int degree(Axis axis) const { return degrees_.at(static_cast<std::size_t>(axis)); }
  // Throws Error{usage} for a rank that is not of the world.
  [[nodiscard]] Coordinates coordinates(int rank) const;
  [[nodiscard]] int coordinate(int rank, Axis axis) const;
  // Throws Error{usage} where one is not below its degree.
  [[nodiscard]] int rank_at(const Coordinates& coordinates) const;
  // The ranks that differ from this one in these axes alone, itself among them, ascending: its tensor-parallel group is
  // group(rank, {Axis::tensor}), the replicas of its dense parameters are group(rank, {Axis::context, Axis::expert,
  // Axis::data}), those of its experts group(rank, {Axis::context, Axis::data}).
  [[nodiscard]] std::vector<int> group(int rank, std::initializer_list<Axis> axes) const;
  // The number of that group among all of its kind, the same on all of its ranks and on no other. (GroupComm makes its
  // communicator.)
  [[nodiscard]] int group_number(int rank, std::initializer_list<Axis> axes) const;

 private:
  Grid grid_;
  int world_size_ = 1;
  std::array<int, kAxes> degrees_{};
  std::array<int, kAxes> strides_{};  // from one coordinate to the next, in ranks
};

}  // namespace muster
