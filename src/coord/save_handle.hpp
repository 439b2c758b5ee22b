#pragma once
// What a SaveHandle stands for.

#include <memory>
#include <muster/checkpoint.hpp>

#include "coord/async_save.hpp"
#include "coord/background_saves.hpp"

namespace muster {

namespace coord {

struct BegunSave {
  std::shared_ptr<BackgroundSaves> saves;
  std::shared_ptr<AsyncSave> save = nullptr;  // null where the save was made by the call
  SaveReport report = {};                     // then
};

}  // namespace coord

class SaveHandle::Impl : public coord::BegunSave {};

}  // namespace muster
