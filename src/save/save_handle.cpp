#include "save/save_handle.hpp"

namespace muster {

void SaveHandle::wait_staged() {
  if (!impl_ || !impl_->save || impl_->save->is_staged()) return;
  const Stopwatch watch;
  impl_->saves->stage(*impl_->save);
  impl_->save->blocked_s += watch.seconds();
}

bool SaveHandle::done() {
  if (!impl_ || !impl_->save) return true;
  impl_->saves->poll();
  return impl_->save->ended();
}

SaveReport SaveHandle::wait() {
  if (impl_ && impl_->save) {
    impl_->saves->wait_for(*impl_->save);
    if (impl_->save->failure()) {
      impl_->saves->note_seen(impl_->save->number);
      std::rethrow_exception(impl_->save->failure());
    }
  }
  return report();
}

SaveReport SaveHandle::report() const {
  SaveReport report;
  report.skipped = !impl_;
  if (!impl_) return report;
  if (!impl_->save) return impl_->report;
  report = impl_->save->ended() ? impl_->save->report : impl_->save->begun;
  report.blocked_s = impl_->save->blocked_s;
  return report;
}

}  // namespace muster
