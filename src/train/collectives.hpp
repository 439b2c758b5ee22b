#pragma once
// What the ranks do together besides checkpoints. All functions are collective over comm.

#include <functional>
#include <span>
#include <string_view>

#include "mpi/comm.hpp"
#include "program/run.hpp"

namespace muster::train {

using program::AgreedError;

// Local. Runs work. What Torch throws becomes an Error{internal} of one line, without Torch's backtrace.
void without_backtraces(const std::function<void()>& work);

// Runs work that is local to a rank and may fail there. If it fails on any rank, every rank throws the same
// AgreedError: that of the lowest failing rank, which the message names unless it is rank 0.
void together(const mpi::CommView& comm, const std::function<void()>& work);

// Throws the same AgreedError{usage} on all ranks unless all pass the same text.
void require_same(const mpi::CommView& comm, std::string_view text, std::string_view what);

// In place, on every rank the same bits; in transfers below 2 GiB each, any number of values.
void sum_over_ranks(const mpi::CommView& comm, std::span<float> values);
double sum_over_ranks(const mpi::CommView& comm, double value);
// The greatest of all ranks' values, one by one, in place.
void greatest_of_ranks(const mpi::CommView& comm, std::span<float> values);

}  // namespace muster::train
