#include "store/takeover.hpp"

namespace muster::store {

Relation relation_to(const Owner& owner, const Owner& me, const JobRuns& job_runs) {
  if (owner.token == me.token) return Relation::ours;
  const bool same_job = !me.job.empty() && owner.job == me.job && owner.cluster == me.cluster;
  if (same_job && owner.restart > me.restart) return Relation::later;
  if (same_job && owner.restart < me.restart) return Relation::free;
  const auto life = liveness(owner.process);
  const bool same_launch =
      !me.launch.empty() && owner.launch == me.launch && owner.job == me.job && owner.cluster == me.cluster;
  if (same_launch && life != Liveness::gone) return Relation::ours;
  if (owner.released || life == Liveness::gone) return Relation::free;
  if (life == Liveness::alive) return Relation::held;
  // An earlier step of this job, on another of its nodes: steps of one job follow each other.
  if (same_job) return Relation::free;
  // The number means nothing on another cluster.
  const bool same_cluster = !owner.job.empty() && !me.job.empty() && owner.cluster == me.cluster;
  if (same_cluster && job_runs(owner.job) == false) return Relation::free;
  return Relation::held;
}

}  // namespace muster::store
