#pragma once
// Who reads which bytes of a file and who wants them. Pure.

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "model/layout.hpp"
#include "model/plan.hpp"
#include "model/shard_map.hpp"

namespace muster::plan {

// A range of a tensor's bytes in the file that a rank needs.
struct ReadRequest : ByteRange {
  std::uint32_t tensor = 0;  // index into Layout::tensors
};

// Appends what to read of a tensor for a shard that is not one range of the file: the extents that hold any of it,
// adjacent ones as one request.
void append_touched(const Layout& layout, std::uint32_t tensor, const ShardMap& shard,
                    std::vector<ReadRequest>& requests);

// Appends what to read of a tensor for any shard of it; nothing for one without elements. Throws Error{usage} where the
// shard does not lie inside the tensor.
void append_requests(const Layout& layout, std::uint32_t tensor, const Shard& shard,
                     std::vector<ReadRequest>& requests);

// Ranks with the same requests, and these.
struct RankRequests {
  RankSet ranks;
  std::vector<ReadRequest> requests;
};

// A set of ranks that many units share, read like a RankSet.
class SharedRanks {
 public:
  SharedRanks() : SharedRanks(RankSet{}) {}
  SharedRanks(RankSet ranks) : ranks_(std::make_shared<const RankSet>(std::move(ranks))) {}
  operator const RankSet&() const { return *ranks_; }
  [[nodiscard]] auto begin() const { return ranks_->begin(); }
  [[nodiscard]] auto end() const { return ranks_->end(); }
  [[nodiscard]] std::size_t size() const { return ranks_->size(); }
  [[nodiscard]] bool empty() const { return ranks_->empty(); }
  [[nodiscard]] int front() const { return ranks_->front(); }

 private:
  std::shared_ptr<const RankSet> ranks_;
};

// Extents that lie side by side in the file, up to kMaxExtentBytes with the gaps, read at once by one rank and handed
// to all that want any of them.
struct ReadUnit : ExtentRun {
  int reader = 0;
  SharedRanks wanted_by = {};
};

// Each extent that anybody wants is in one unit; the units are in file order. A unit is read by a reader that wants it,
// where there is one, so that nothing travels that need not; within that choice the readers' bytes are made even: units
// with little choice first, each to the reader with the fewest bytes so far. `readers` is not empty.
std::vector<ReadUnit> plan_reads(const Layout& layout, const std::vector<RankRequests>& all_requests,
                                 const RankSet& readers);

}  // namespace muster::plan
