#include <fmt/format.h>

#include <muster/error.hpp>
#include <muster/group_comm.hpp>
#include <string>

#include "coord/exchange.hpp"
#include "mpi/agree.hpp"
#include "mpi/check.hpp"
#include "mpi/comm.hpp"

namespace muster {

namespace {

constexpr double kTimeoutS = 1800;
constexpr const char* kPhase = "group";

// Collective. That all ranks ask for the same groups, and that there are such.
void require_same_groups(const mpi::CommView& comm, const ParallelGrid& grid, std::initializer_list<Axis> axes) {
  mpi::run_agreed(comm, kPhase, [&] {
    if (grid.world_size() == comm.size()) return;
    throw Error(ErrorKind::usage, fmt::format("the grid {} has {} ranks, and the communicator {}",
                                              to_string(grid.grid()), grid.world_size(), comm.size()));
  });
  auto groups = to_string(grid.grid()) + " by";
  for (const auto axis : axes) groups.append(" ").append(name(axis));
  coord::require_same(comm, kPhase, "the groups that they ask for", groups);
}

mpi::Comm split(MPI_Comm comm, const ParallelGrid& grid, std::initializer_list<Axis> axes) {
  mpi::require_usable(comm);
  const auto all = mpi::Comm::duplicate(comm);
  const auto view = all.view(kTimeoutS);
  require_same_groups(view, grid, axes);
  return mpi::Comm::split(view.handle(), grid.group_number(view.rank(), axes), view.rank());
}

}  // namespace

class GroupComm::Impl {
 public:
  Impl(MPI_Comm comm, const ParallelGrid& grid, std::initializer_list<Axis> axes)
      : comm_(split(comm, grid, axes)), view_(comm_.view(kTimeoutS)) {}
  [[nodiscard]] const mpi::CommView& view() const { return view_; }

 private:
  mpi::Comm comm_;
  mpi::CommView view_;
};

GroupComm::GroupComm(MPI_Comm comm, const ParallelGrid& grid, std::initializer_list<Axis> axes)
    : impl_(std::make_unique<Impl>(comm, grid, axes)) {}
GroupComm::~GroupComm() = default;
GroupComm::GroupComm(GroupComm&&) noexcept = default;
GroupComm& GroupComm::operator=(GroupComm&&) noexcept = default;

MPI_Comm GroupComm::handle() const { return impl_->view().handle(); }
int GroupComm::rank() const { return impl_->view().rank(); }
int GroupComm::size() const { return impl_->view().size(); }

}  // namespace muster
