#pragma once
// Calls that must fail, and how.

#include <gtest/gtest.h>

#include <muster/error.hpp>
#include <string>
#include <utility>

namespace muster::test {

// Runs the call, which must throw an Error of this kind; its message.
template <class Call>
std::string error_of(ErrorKind kind, Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(name(error.kind()), name(kind)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error; expected one of kind " << name(kind);
  return {};
}

// The same, of which the message must hold these words.
template <class Call>
void expect_words(ErrorKind kind, const std::string& words, Call&& call) {
  const auto message = error_of(kind, std::forward<Call>(call));
  EXPECT_NE(message.find(words), std::string::npos) << message;
}

}  // namespace muster::test
