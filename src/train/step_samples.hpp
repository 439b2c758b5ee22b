#pragma once
// Which sequences of the text each step takes. A sample is the place where a sequence starts. Local; knows no Torch.

#include <cstdint>
#include <muster/sample_stream.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace muster::train {

class StepSamples {
 public:
  // Of a run from the start: the samples [0, start_count), each once an epoch.
  StepSamples(std::int64_t seed, std::uint64_t start_count, std::int64_t batch);

  // The samples of data parallel rank `rank` of `ranks` in this step, the one after the last end_step().
  [[nodiscard]] std::vector<std::uint64_t> of_rank(std::int64_t step, int rank, int ranks) const;
  void end_step();

  // Adds the state to the user content of a checkpoint, under "samples".
  void add_to(nlohmann::json& user_content) const;
  // Goes on behind what the run that saved `tag` has taken. If its samples were those of another seed or text, a new
  // stream begins if `may_begin_anew`; otherwise throws Error{mismatch} and changes nothing. Checkpoints of earlier
  // versions have no state: then a new stream begins if `may_begin_anew`; otherwise the run goes on in the order of
  // those versions, a function of seed and step. Returns what is worth a line, or "".
  std::string load_from(const nlohmann::json& user_content, const std::string& tag, bool may_begin_anew);

 private:
  std::uint64_t seed_;
  std::uint64_t start_count_;
  std::uint64_t batch_;
  std::optional<SampleStream> stream_;  // none: the order of earlier versions
};

}  // namespace muster::train
