#include "base/file_system.hpp"

#include <fmt/format.h>
#include <sys/vfs.h>

#include <map>

namespace muster {

std::string file_system_of(const std::filesystem::path& path) {
  // From statfs(2) and linux/magic.h; Lustre, GPFS and BeeGFS from their own sources.
  static const std::map<std::uint32_t, std::string> names = {
      {0xEF53, "ext4"},     {0x58465342, "xfs"},    {0x9123683E, "btrfs"},   {0x01021994, "tmpfs"},
      {0x2FC12FC1, "zfs"},  {0xF2F52010, "f2fs"},   {0x794C7630, "overlay"}, {0x0BD00BD0, "lustre"},
      {0x47504653, "gpfs"}, {0x19830326, "beegfs"}, {0x00C36400, "ceph"},    {0x6969, "nfs"},
      {0xFF534D42, "cifs"}, {0xFE534D42, "smb2"},   {0x65735546, "fuse"},    {0x01021997, "9p"},
  };
  auto existing = std::filesystem::absolute(path).lexically_normal();
  struct statfs status {};
  while (::statfs(existing.c_str(), &status) != 0) {
    if (existing == existing.parent_path()) return "unknown";
    existing = existing.parent_path();
  }
  const auto type = static_cast<std::uint32_t>(status.f_type);
  const auto found = names.find(type);
  return found == names.end() ? fmt::format("0x{:x}", type) : found->second;
}

}  // namespace muster
