#include "store/takeover.hpp"

namespace muster::store {

Standing standing_to(const Holder& holder, const Holder& me, const JobRuns& job_runs) {
  if (holder.token == me.token) return Standing::ours;
  const bool same_job = !me.job.empty() && holder.job == me.job && holder.cluster == me.cluster;
  if (same_job && holder.restart > me.restart) return Standing::later;
  if (same_job && holder.restart < me.restart) return Standing::free;
  const auto life = liveness(holder.process);
  const bool same_launch =
      !me.launch.empty() && holder.launch == me.launch && holder.job == me.job && holder.cluster == me.cluster;
  if (same_launch && life != Liveness::gone) return Standing::ours;
  if (holder.released || life == Liveness::gone) return Standing::free;
  if (life == Liveness::alive) return Standing::held;
  // An earlier step of this job, on another of its nodes: steps of one job follow each other.
  if (same_job) return Standing::free;
  // The number means nothing on another cluster.
  const bool same_cluster = !holder.job.empty() && !me.job.empty() && holder.cluster == me.cluster;
  if (same_cluster && job_runs(holder.job) == false) return Standing::free;
  return Standing::held;
}

}  // namespace muster::store
