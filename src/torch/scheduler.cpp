#include "torch/scheduler.hpp"

#include <fmt/format.h>

#include "torch/torch_errors.hpp"

namespace muster::torch_adapter {

void describe_scheduler(State& state, const ObjectPath& at, const SchedulerRef& scheduler) {
  state.add(Document{at.path(), {{"class", scheduler.name()}, {"state", scheduler.save()}}});
}

void prepare_scheduler(LoadBuilder& load, const ObjectPath& at, const SchedulerRef& scheduler) {
  const auto& path = at.path();
  const auto* document = load.contents().find_document(path);
  if (document == nullptr) return load.missing(path + ": the checkpoint has no scheduler");
  if (!document->is_object() || !document->contains("class") || !(*document)["class"].is_string() ||
      !document->contains("state")) {
    return load.problem(path + ": is not {\"class\": name, \"state\": ...}");
  }
  const auto& kind = (*document)["class"].get_ref<const std::string&>();
  if (kind != scheduler.name()) {
    return load.problem(
        fmt::format("{}: is of the scheduler {}, and is to be loaded into {}", path, kind, scheduler.name()));
  }
  const auto& state = (*document)["state"];
  try {
    scheduler.check(state);
  } catch (const std::exception& error) {
    return load.problem(path + ": " + message_of(error));
  }
  load.on_commit([scheduler, state] { scheduler.load(state); });
}

}  // namespace muster::torch_adapter
