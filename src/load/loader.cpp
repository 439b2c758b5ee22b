#include "load/loader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <muster/error.hpp>
#include <set>
#include <system_error>

#include "base/clock.hpp"
#include "base/failpoint.hpp"
#include "base/log.hpp"
#include "h5/catalog_reader.hpp"
#include "load/payload_delivery.hpp"
#include "load/target_match.hpp"
#include "model/catalog_bytes.hpp"
#include "model/layout.hpp"
#include "mpi/agree.hpp"
#include "mpi/exchange.hpp"
#include "plan/read_plan.hpp"
#include "plan/read_requests.hpp"
#include "store/names.hpp"
#include "store/resume.hpp"

namespace muster::load {

namespace {

void check_options(const LoadOptions& options) {
  if (options.tag) store::check_tag(*options.tag);
  if (options.num_workers && *options.num_workers < 1) {
    throw Error(ErrorKind::usage, fmt::format("num_workers is {}; it must be at least 1", *options.num_workers));
  }
  if (options.num_workers && options.each_rank_reads) {
    throw Error(ErrorKind::usage, "num_workers says which ranks read, and with each_rank_reads all do");
  }
  if (options.read_once_per == ReadOncePer::node && options.each_rank_reads) {
    throw Error(ErrorKind::usage, "read_once_per and each_rank_reads exclude each other");
  }
}

// What is done about missing and unexpected tensors.
OnDifference either(const std::optional<OnDifference>& asked, bool strict) {
  return asked.value_or(strict ? OnDifference::error : OnDifference::warn);
}

std::string options_text(const LoadOptions& options) {
  const auto number = [](OnDifference what) { return static_cast<int>(what); };
  auto text = fmt::format(
      "tag={} strict={} missing={} unexpected={} convert_dtypes={} read_once_per_node={} each_rank_reads={} "
      "num_workers={}",
      options.tag ? "'" + *options.tag + "'" : "unset", options.strict, number(either(options.missing, options.strict)),
      number(either(options.unexpected, options.strict)), options.convert_dtypes,
      options.read_once_per == ReadOncePer::node, options.each_rank_reads,
      options.num_workers ? std::to_string(*options.num_workers) : "unset");
  for (const auto& pattern : options.only) text += fmt::format(" only='{}'", pattern);
  for (const auto& [from, to] : options.renames) text += fmt::format(" '{}' is '{}'", from, to);
  return text;
}

// Lists of texts from rank 0 to all.
void broadcast(const mpi::CommView& comm, std::vector<std::string>& texts) {
  ByteWriter writer;
  for (const auto& text : texts) writer.put_text(text);
  auto bytes = writer.take();
  comm.broadcast(bytes, 0);
  texts.clear();
  for (ByteReader reader(bytes); !reader.at_end();) texts.push_back(reader.get_text());
}

RankSet readers(const mpi::Team& team, const LoadOptions& options) {
  RankSet chosen;
  std::map<int, int> used;
  for (int rank = 0; rank < team.comm.size(); ++rank) {
    const auto on_node = used[team.node_of_rank[static_cast<std::size_t>(rank)]]++;
    if (!options.num_workers || on_node < *options.num_workers) chosen.push_back(rank);
  }
  return chosen;
}

std::vector<plan::RankRequests> requests_of_all(const mpi::CommView& comm, const Layout& layout,
                                                const std::vector<plan::ReadRequest>& requests) {
  std::vector<plan::RankRequests> all_requests;
  for (const auto& each : mpi::exchange_distinct(comm, plan::pack_for_exchange(layout, requests))) {
    all_requests.push_back({each.ranks, plan::unpack_requests(each.bytes)});
  }
  return all_requests;
}

// Collective over all. Each node works for itself, as a team of its own; then all learn how it went.
template <class Work>
void on_each_node(const mpi::Team& team, Work&& work) {
  const auto& comm = team.comm;
  comm.barrier();  // the split has no deadline: a rank that does not come is better waited for here
  auto owner = mpi::Comm::split(comm.handle(), team.node_of_rank[static_cast<std::size_t>(comm.rank())], 0);
  const auto own = owner.view(comm.timeout_s());
  const mpi::Team node{own, std::vector<int>(static_cast<std::size_t>(own.size()), 0)};
  mpi::run_agreed(comm, "read", [&] {
    try {
      work(node);
    } catch (const CollectiveError& error) {
      // All of the node have it. Told by those that failed, it is told once, and with their numbers among all.
      for (const auto& [rank, kind, message] : error.failures()) {
        if (rank == own.rank()) throw Error(kind, message);
      }
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::timeout) owner.abandon();
      throw;
    }
  });
}

// As the user calls it, rather than as the system does.
void require_there(const store::Directory& directory, const std::string& tag) {
  std::error_code ignored;  // what cannot be looked at is told by who opens it
  const auto file = store::tag_file(directory.path(), tag);
  if (std::filesystem::status(file, ignored).type() != std::filesystem::file_type::not_found) return;
  throw Error(ErrorKind::not_found,
              fmt::format("no checkpoint {} in {} (`muster ls` lists them)", tag, directory.path().string()));
}

// More than these do not help: where every tensor differs, one reason tells.
std::string joined(const std::vector<std::string>& lines) {
  constexpr std::size_t kMost = 20;
  std::string text;
  for (std::size_t i = 0; i < std::min(kMost, lines.size()); ++i) text += "\n    " + lines[i];
  if (lines.size() > kMost) text += fmt::format("\n    and {} more", lines.size() - kMost);
  return text;
}

// The lines of differences of which `what` is done.
std::vector<std::string> lines_of(const TargetMatch& comparison, const LoadOptions& options, OnDifference what) {
  const auto done_about = [&](Difference::Kind kind) {
    switch (kind) {
      case Difference::Kind::missing:
        return either(options.missing, options.strict);
      case Difference::Kind::unexpected:
        return either(options.unexpected, options.strict);
      case Difference::Kind::misfit:
        break;
    }
    return options.strict ? OnDifference::error : OnDifference::warn;
  };
  std::vector<std::string> lines;
  // Misfits first, for of many lines only some are shown, and what is missing may be but another model's way to differ.
  for (const bool misfits : {true, false}) {
    for (const auto& [kind, line] : comparison.differences) {
      if ((kind == Difference::Kind::misfit) == misfits && done_about(kind) == what) lines.push_back(line);
    }
  }
  return lines;
}

}  // namespace

LoadReport Loader::load(const LoadOptions& options, const Checkpointer::Prepare& prepare) {
  const auto& comm = team_.comm;
  const Stopwatch watch;
  mpi::run_agreed(comm, "find", [&] {
    failpoint::pass("load.find");
    check_options(options);
  });
  mpi::require_same(comm, "find", "the options of the load", options_text(options));
  if (options.tag) {
    auto report = load_tag(*options.tag, options, prepare);
    report.total_s = watch.seconds();
    return report;
  }
  store::ResumeOrder order;
  mpi::run_on_root(comm, "find", [&] {
    order = store::resume_order(directory_);
    if (!order.tags.empty()) return;
    std::string message = "no checkpoint to resume from in " + directory_.path().string();
    for (const auto& warning : order.warnings) message += "; " + warning;
    throw Error(ErrorKind::not_found, message);
  });
  broadcast(comm, order.tags);
  broadcast(comm, order.warnings);
  for (std::size_t i = 0;; ++i) {
    try {
      auto report = load_tag(order.tags[i], options, prepare);
      report.warnings.insert(report.warnings.begin(), order.warnings.begin(), order.warnings.end());
      if (team_.is_root()) {
        for (const auto& warning : report.warnings) log_warning(warning);
      }
      report.total_s = watch.seconds();
      return report;
    } catch (const CollectiveError& error) {
      // The same on all ranks, so all go on to the next tag, or none.
      if (error.kind() != ErrorKind::corrupt || i + 1 == order.tags.size()) {
        if (team_.is_root()) {
          for (const auto& warning : order.warnings) log_warning(warning);
        }
        throw;
      }
      order.warnings.push_back("skipping tag " + order.tags[i] + ": " + error.what());
    }
  }
}

LoadReport Loader::load_tag(const std::string& tag, const LoadOptions& options, const Checkpointer::Prepare& prepare) {
  const auto& comm = team_.comm;
  const auto file = store::tag_file(directory_.path(), tag);

  LoadReport report;
  Stopwatch watch;
  Bytes packed;
  mpi::run_on_root(comm, "find", [&] {
    require_there(directory_, tag);
    packed = pack(h5::read_catalog(file));
  });
  comm.broadcast(packed, 0);
  report.phase_s["find"] = watch.lap();

  Catalog catalog;
  std::optional<KeySelection> seen;
  LoadTarget target;
  mpi::run_agreed(comm, "prepare", [&] {
    failpoint::pass("load.prepare");
    catalog = unpack_catalog(packed);
    packed = {};
    seen.emplace(options, catalog);
    report.contents = contents_of(catalog, *seen);
    if (const auto* content = report.contents.find_document(kUserContentPath)) report.user_content = *content;
    if (options.check) options.check(report.contents);
    target = prepare(report.contents);
    report.made = target.made;
  });
  report.phase_s["prepare"] = watch.lap();
  TargetMatch comparison;
  std::vector<plan::ReadRequest> requests;
  mpi::run_agreed(comm, "check", [&] {
    failpoint::pass("load.check");
    comparison = compare(target, catalog, *seen, options);
    requests = comparison.requests(catalog);
  });
  auto wanted_by_any = comparison.wanted;
  comm.all_or(wanted_by_any);
  mpi::run_agreed(comm, "check", [&] {
    add_unwanted(comparison, target, *seen, options, wanted_by_any, catalog.tensors.size());
    const auto errors = lines_of(comparison, options, OnDifference::error);
    if (!errors.empty()) {
      throw Error(ErrorKind::mismatch, file.string() + " does not fit what it is to be loaded into:" + joined(errors));
    }
    report.skipped = lines_of(comparison, options, OnDifference::warn);
  });
  warn_of(file, report.skipped);

  report.phase_s["check"] = watch.lap();
  const auto read = [&](const mpi::Team& team) {
    std::vector<plan::RankRequests> all_requests;
    auto reading = readers(team, options);
    if (options.each_rank_reads) {
      // Each rank plans for itself alone: nothing travels.
      reading = {team.comm.rank()};
      all_requests.push_back({reading, requests});
    } else {
      all_requests = requests_of_all(team.comm, catalog, requests);
    }
    std::vector<plan::ReadUnit> units;
    mpi::run_agreed(team.comm, "read", [&] { units = plan::plan_reads(catalog, all_requests, reading); });
    report.phase_s["plan"] = watch.lap();
    const auto moved = deliver_payload(team, file, catalog, units, comparison.destinations, buffer_cache_);
    report.read_bytes = moved.read_bytes;
    report.buffer_bytes = moved.buffer_bytes;
  };
  if (options.read_once_per == ReadOncePer::node) {
    on_each_node(team_, read);
  } else {
    read(team_);
  }

  report.phase_s["read"] = watch.lap();
  mpi::run_agreed(comm, "commit", [&] {
    failpoint::pass("load.commit");
    if (target.commit) target.commit();
  });
  report.phase_s["commit"] = watch.lap();
  return report;
}

// What any rank skips, once.
void Loader::warn_of(const std::filesystem::path& file, const std::vector<std::string>& skipped) const {
  std::vector<Bytes> mine;
  for (const auto& line : std::set<std::string>(skipped.begin(), skipped.end())) {
    ByteWriter writer;
    writer.put_text(line);
    mine.push_back(writer.take());
  }
  std::vector<std::string> lines;
  for (const auto& each : mpi::exchange_distinct(team_.comm, mine)) lines.push_back(ByteReader(each.bytes).get_text());
  if (team_.is_root() && !lines.empty()) log_warning("loaded " + file.string() + " only in part:" + joined(lines));
}

std::optional<std::string> Loader::latest_tag() {
  std::vector<std::string> tags;
  mpi::run_on_root(team_.comm, "find", [&] { tags = store::resume_order(directory_).tags; });
  broadcast(team_.comm, tags);
  if (tags.empty()) return std::nullopt;
  return tags.front();
}

}  // namespace muster::load
