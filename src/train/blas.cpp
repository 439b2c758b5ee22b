#include "train/blas.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <system_error>

namespace muster::train {
namespace {

struct CloseLibrary {
  void operator()(void* library) const { dlclose(library); }
};

// Every fast BLAS has names of its own beside the standard ones.
constexpr std::array kNamesOfFastOnes = {"openblas_get_config", "bli_info_get_version_str", "ATL_buildinfo",
                                         "MKL_Get_Version",     "flexiblas_info",           "armpl_get_version"};

}  // namespace

std::string reference_blas() {
  void* multiply = dlsym(RTLD_DEFAULT, "sgemm_");
  Dl_info info{};
  if (multiply == nullptr || dladdr(multiply, &info) == 0 || info.dli_fname == nullptr) return {};
  if (!std::filesystem::path(info.dli_fname).filename().string().starts_with("libblas.so")) return {};
  const std::unique_ptr<void, CloseLibrary> library(dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD));
  if (!library) return {};
  const bool is_fast = std::any_of(kNamesOfFastOnes.begin(), kNamesOfFastOnes.end(),
                                   [&](const char* name) { return dlsym(library.get(), name) != nullptr; });
  if (is_fast) return {};
  std::error_code error;
  const auto file = std::filesystem::canonical(info.dli_fname, error);
  return error ? info.dli_fname : file.string();
}

}  // namespace muster::train
