#include "load/payload_delivery.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <muster/error.hpp>
#include <optional>

#include "base/failpoint.hpp"
#include "base/hash.hpp"
#include "base/streaming_copy.hpp"
#include "engine/read_ahead.hpp"
#include "load/node_buffers.hpp"
#include "model/convert.hpp"
#include "mpi/agree.hpp"
#include "plan/delivery.hpp"

namespace muster::load {

namespace {

// Rows of a few elements, as a cut along the last dimension makes them: their lines are shared, and wanted in the
// cache.
constexpr std::size_t kShortBytes = 1024;

// Values that are converted at once: few enough for the cache.
constexpr std::size_t kConvertedItems = 16 << 10;

class PayloadDelivery {
 public:
  PayloadDelivery(const mpi::Team& team, const std::filesystem::path& file, const Catalog& catalog,
                  const std::vector<Destination>& destinations, engine::ReadBufferCache& buffer_cache)
      : team_(team),
        comm_(team.comm),
        path_(file),
        catalog_(catalog),
        destinations_(destinations),
        buffer_cache_(buffer_cache) {}

  void open(const std::vector<plan::ReadUnit>& units) {
    std::vector<ByteRange> mine;
    for (const auto& unit : units) {
      if (unit.reader == comm_.rank()) mine.push_back({unit.offset, unit.bytes});
    }
    engine::ReadAheadOptions options;
    // Units of each rank differ in size, but all know all of them: the decision is everybody's.
    delivery_.emplace(units, team_.node_of_rank, true);
    if (delivery_->shares_buffers()) {
      const auto offsets_bytes = offsets_kept() * sizeof(std::uint64_t);
      buffers_.emplace(team_, mine.empty() ? 0 : engine::memory_bytes(mine, delivery_->read_buffers()) + offsets_bytes);
      if (!buffers_->are_shared()) {
        buffers_.reset();
        delivery_.emplace(units, team_.node_of_rank, false);
      } else if (!mine.empty()) {
        options.memory = buffers_->own().first(buffers_->own().size() - offsets_bytes);
      }
    }
    options.buffers = static_cast<int>(delivery_->read_buffers());
    options.in_use = static_cast<int>(delivery_->units_in_use());
    plan::RankTransfers handled;
    for (const auto& unit : units) {
      if (unit.reader == comm_.rank() || is_wanted(unit)) delivery_->add(unit, comm_.rank(), handled);
    }
    mpi::run_agreed(comm_, "read", [&] {
      failpoint::pass("load.read");
      if (!mine.empty()) ahead_.emplace(path_, mine, buffer_cache_, options);
      received_.resize(handled.largest_received);
    });
  }

  // The units of one round, at most one a reader.
  void move(const std::vector<const plan::ReadUnit*>& round) {
    if (buffers_ || std::ranges::any_of(round, [](const auto* unit) { return travels(*unit); })) {
      // Who waits for bytes must know whether they will come.
      mpi::run_agreed(comm_, "read", [&] {
        if (failure_) std::rethrow_exception(failure_);
        read_mine(round);
      });
    } else {
      keep_failure([&] { read_mine(round); });
    }
    for (const auto* unit : round) hand_on(*unit);
    ++round_;
  }

  Delivered finish() {
    mpi::agree(comm_, "read", failure_);
    return {read_bytes_, (ahead_ ? ahead_->buffer_bytes() : 0) + received_.size()};
  }

 private:
  static bool travels(const plan::ReadUnit& unit) {
    return unit.wanted_by.size() != 1 || unit.wanted_by.front() != unit.reader;
  }

  [[nodiscard]] bool is_wanted(const plan::ReadUnit& unit) const {
    return std::binary_search(unit.wanted_by.begin(), unit.wanted_by.end(), comm_.rank());
  }

  template <class Work>
  void keep_failure(Work&& work) {
    if (failure_) return;
    try {
      work();
    } catch (...) {
      failure_ = std::current_exception();
    }
  }

  void read_mine(const std::vector<const plan::ReadUnit*>& round) {
    own_ = {};
    for (const auto* unit : round) {
      if (unit->reader == comm_.rank()) read(*unit);
    }
  }

  void read(const plan::ReadUnit& unit) {
    const auto bytes = ahead_->next();
    read_bytes_ += unit.bytes;
    for (std::size_t i = unit.first_extent; i < unit.first_extent + unit.extents; ++i) {
      const auto& extent = catalog_.extents[i];
      const auto hash = hash_bytes(bytes.subspan(extent.offset - unit.offset, extent.bytes));
      const auto saved = catalog_.hashes[i];
      if (hash == saved) continue;
      const auto& tensor = catalog_.tensors[extent.tensor];
      const auto first = extent.offset - tensor.offset;
      throw Error(ErrorKind::corrupt, fmt::format("{}: {} bytes [{}, {}) (written by rank {}) hash to {}, saved was {}",
                                                  path_.string(), tensor.path, first, first + extent.bytes,
                                                  extent.writer, hash_text(hash), hash_text(saved)));
    }
    own_ = bytes;
    if (!buffers_) return;
    const auto place = static_cast<std::uint64_t>(bytes.data() - buffers_->own().data());
    std::memcpy(place_of_round(buffers_->own(), round_), &place, sizeof(place));
  }

  // From the reader to whoever wants it. Ranks of its node look where it read it; others get a broadcast where all
  // want it, else one message each.
  void hand_on(const plan::ReadUnit& unit) {
    const bool reads = unit.reader == comm_.rank();
    const bool is_mine = is_wanted(unit);
    const bool sees = is_mine && delivery_->is_shared_with(unit, comm_.rank());
    const bool receives = is_mine && delivery_->is_sent_to(unit, comm_.rank());
    const auto bytes = receives ? std::span(received_).first(unit.bytes) : own_;
    if (delivery_->is_broadcast(unit)) {
      comm_.broadcast(bytes, unit.reader);
    } else if (receives) {
      comm_.receive(bytes, unit.reader);
    } else if (reads) {
      for (const int rank : unit.wanted_by) {
        if (delivery_->is_sent_to(unit, rank)) comm_.send(bytes, rank);
      }
    }
    if (is_mine) keep_failure([&] { place(unit, sees ? seen(unit) : bytes); });
  }

  // Where the offsets of the units in a rank's buffers are: behind the buffers.
  [[nodiscard]] std::size_t offsets_kept() const { return delivery_->read_buffers(); }
  template <class Byte>
  [[nodiscard]] Byte* place_of_round(std::span<Byte> buffers, std::size_t round) const {
    return buffers.data() + buffers.size() - (offsets_kept() - round % offsets_kept()) * sizeof(std::uint64_t);
  }

  // What a rank of this node has read in this round.
  [[nodiscard]] std::span<const std::byte> seen(const plan::ReadUnit& unit) const {
    const auto buffers = buffers_->of(unit.reader);
    std::uint64_t place = 0;
    std::memcpy(&place, place_of_round(buffers, round_), sizeof(place));
    return buffers.subspan(place, unit.bytes);
  }

  void place(const plan::ReadUnit& unit, std::span<const std::byte> bytes) {
    for (std::size_t i = unit.first_extent; i < unit.first_extent + unit.extents; ++i) {
      const auto& extent = catalog_.extents[i];
      const auto in_tensor = extent.offset - catalog_.tensors[extent.tensor].offset;
      const auto from = std::lower_bound(destinations_.begin(), destinations_.end(), extent.tensor,
                                         [](const auto& d, std::uint32_t tensor) { return d.request.tensor < tensor; });
      for (auto to = from; to != destinations_.end() && to->request.tensor == extent.tensor; ++to) {
        const auto of_extent = bytes.subspan(extent.offset - unit.offset, extent.bytes);
        if (to->map) {
          to->map->visit_runs(in_tensor, extent.bytes, [&](const ShardRun& run) {
            put(*to, run.in_shard, of_extent.subspan(run.in_file - in_tensor, run.bytes));
          });
          continue;
        }
        const auto first = std::max(in_tensor, to->request.offset);
        const auto last = std::min(in_tensor + extent.bytes, to->request.end());
        if (first >= last) continue;
        put(*to, first - to->request.offset, of_extent.subspan(first - in_tensor, last - first));
      }
    }
  }

  // `at`: where in the shard, if it had the file's dtype.
  void put(const Destination& to, std::uint64_t at, std::span<const std::byte> bytes) {
    if (to.from == to.to) return put(*to.memory, at, bytes);
    const auto from_item = item_bytes(to.from);
    const auto to_item = item_bytes(to.to);
    converted_.resize(kConvertedItems * to_item);
    while (!bytes.empty()) {
      const auto some = bytes.first(std::min(bytes.size(), kConvertedItems * from_item));
      const auto made = std::span(converted_).first(some.size() / from_item * to_item);
      convert(to.from, some, to.to, made);
      put(*to.memory, at / from_item * to_item, made);
      bytes = bytes.subspan(some.size());
      at += some.size();
    }
  }

  static void put(const TensorMemory& memory, std::uint64_t at, std::span<const std::byte> bytes) {
    if (memory.data == nullptr) {
      memory.write(at, bytes);
    } else {
      const std::span to(memory.data + at, bytes.size());
      if (bytes.size() < kShortBytes) {
        std::ranges::copy(bytes, to.begin());
      } else {
        streaming_copy(to, bytes);
      }
    }
  }

  const mpi::Team& team_;
  const mpi::CommView& comm_;
  const std::filesystem::path& path_;
  const Catalog& catalog_;
  const std::vector<Destination>& destinations_;
  engine::ReadBufferCache& buffer_cache_;
  std::size_t round_ = 0;
  std::optional<plan::Delivery> delivery_;
  std::optional<NodeBuffers> buffers_;      // where they are shared
  std::optional<engine::ReadAhead> ahead_;  // reads into them
  std::span<std::byte> own_;                // of this round
  Bytes received_;
  Bytes converted_;
  std::uint64_t read_bytes_ = 0;
  std::exception_ptr failure_;
};

}  // namespace

Delivered deliver_payload(const mpi::Team& team, const std::filesystem::path& file, const Catalog& catalog,
                          const std::vector<plan::ReadUnit>& units, const std::vector<Destination>& destinations,
                          engine::ReadBufferCache& buffer_cache) {
  PayloadDelivery mover(team, file, catalog, destinations, buffer_cache);
  mover.open(units);
  // Round k: the k-th unit of every reader.
  std::vector<std::vector<const plan::ReadUnit*>> rounds;
  std::map<int, std::size_t> next_round;
  for (const auto& unit : units) {
    const auto round = next_round[unit.reader]++;
    if (round == rounds.size()) rounds.emplace_back();
    rounds[round].push_back(&unit);
  }
  for (const auto& round : rounds) mover.move(round);
  return mover.finish();
}

}  // namespace muster::load
