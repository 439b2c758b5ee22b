#include <array>
#include <muster/checkpoint.hpp>
#include <string>

namespace muster {

namespace {

constexpr std::array kChoices{EngineChoice::automatic, EngineChoice::direct, EngineChoice::collective};

}  // namespace

std::string_view name(EngineChoice choice) {
  constexpr std::array<std::string_view, 3> kNames{"auto", "direct", "collective"};
  return kNames[static_cast<std::size_t>(choice)];
}

EngineChoice engine_choice(std::string_view text) {
  for (const auto choice : kChoices) {
    if (name(choice) == text) return choice;
  }
  throw Error(ErrorKind::usage, "there is no engine '" + std::string(text) + "'; there are auto, direct, collective");
}

}  // namespace muster
