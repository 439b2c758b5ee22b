#include <fmt/format.h>

#include <muster/error.hpp>
#include <muster/group_comm.hpp>
#include <string>

#include "mpi/agree.hpp"
#include "mpi/check.hpp"
#include "mpi/comm.hpp"
#include "mpi/exchange.hpp"

namespace muster {

namespace {

constexpr double kGroupTimeoutS = 1800;
constexpr const char* kGroupPhase = "group";

// Collective. That all ranks ask for the same groups, and that there are such.
void require_same_groups(const mpi::CommView& comm, const ParallelGrid& grid, std::initializer_list<Axis> axes) {
  mpi::run_agreed(comm, kGroupPhase, [&] {
    if (grid.world_size() == comm.size()) return;
    throw Error(ErrorKind::usage, fmt::format("the grid {} has {} ranks, and the communicator {}",
                                              to_string(grid.grid()), grid.world_size(), comm.size()));
  });
  auto groups = to_string(grid.grid()) + " by";
  for (const auto axis : axes) groups.append(" ").append(name(axis));
  mpi::require_same(comm, kGroupPhase, "the groups that they ask for", groups);
}

mpi::Comm split(MPI_Comm comm, const ParallelGrid& grid, std::initializer_list<Axis> axes) {
  mpi::require_usable(comm);
  const auto all = mpi::Comm::duplicate(comm);
  const auto view = all.view(kGroupTimeoutS);
  require_same_groups(view, grid, axes);
  return mpi::Comm::split(view.handle(), grid.group_number(view.rank(), axes), view.rank());
}

}  // namespace

class GroupComm::Impl {
 public:
  Impl(MPI_Comm comm, const ParallelGrid& grid, std::initializer_list<Axis> axes)
      : comm_(split(comm, grid, axes)), view_(comm_.view(kGroupTimeoutS)) {}
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
