#pragma once
// What a SaveHandle stands for.

#include <memory>
#include <muster/checkpoint.hpp>

#include "save/background_saves.hpp"
#include "save/save_job.hpp"

namespace muster {

namespace save {

struct BegunSave {
  std::shared_ptr<BackgroundSaves> saves;
  std::shared_ptr<SaveJob> save = nullptr;  // null where the save was made by the call
  SaveReport report = {};                   // then
};

}  // namespace save

class SaveHandle::Impl : public save::BegunSave {};

}  // namespace muster
