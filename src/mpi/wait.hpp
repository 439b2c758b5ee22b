#pragma once
// Waiting for one MPI request with a deadline.

#include <mpi.h>

#include <functional>
#include <list>
#include <memory>

#include "base/bytes.hpp"

namespace muster::mpi {

class CommView;

// A request in flight with the memory that it works on. Where the deadline passes, that memory is given up (MPI may
// still write to it) and Error{timeout} is thrown.
class Pending {
 public:
  Pending(const CommView& comm, const char* call);
  ~Pending();
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  MPI_Request* request() { return request_.get(); }
  // Memory that lives as long as the request may; each call gives another piece.
  Bytes& hold(std::size_t bytes);
  // `while_waiting`, if given, is called again and again once a first look found nothing.
  void wait(const std::function<void()>& while_waiting = {});
  // A look without waiting: whether the request is over.
  bool test();

 private:
  const CommView& comm_;
  const char* call_;
  std::unique_ptr<MPI_Request> request_;
  std::unique_ptr<std::list<Bytes>> held_;
};

}  // namespace muster::mpi
