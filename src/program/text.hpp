#pragma once
// Text for terminals.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace muster::program {

// "512 B", "1.5 MiB"
std::string human_bytes(std::uint64_t bytes);

// "write" becomes "WRITE", as the head of a column.
std::string upper(std::string_view text);

// The number, or "-".
std::string or_dash(const std::optional<std::int64_t>& value);

// Indented, with a line end; text that is not UTF-8 does not stop it.
std::string json_text(const nlohmann::json& value);

// Columns as wide as their longest cell, two spaces apart; columns named in `right` are flush right.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> head, std::vector<std::size_t> right = {});
  void add(std::vector<std::string> row);
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::size_t> right_;
};

}  // namespace muster::program
