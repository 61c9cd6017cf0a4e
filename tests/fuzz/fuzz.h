// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What every fuzz target is made of. A target is one file with FUZZ_TARGET(name) { … octets … }.
/// With libFuzzer (preset `fuzz`) that is LLVMFuzzerTestOneInput of a program of its own; in every
/// other preset it is registered for cygnet-fuzz-replay, which feeds it the kept corpus.
/// docs/fuzzing.md says how to run both.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "cygnet/base/bytes.h"

namespace cygnet::fuzz {

[[noreturn]] inline void broken(const char* file, int line, const char* what) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
  std::abort();
}

/// Reads decisions from the input. At its end everything is zero, so that inputs stay valid when
/// the fuzzer shortens them.
class Input {
 public:
  explicit Input(ByteView octets) : left_(octets) {}
  [[nodiscard]] bool empty() const { return left_.empty(); }
  [[nodiscard]] std::size_t size() const { return left_.size(); }
  std::uint8_t u8() {
    if (left_.empty()) return 0;
    const std::uint8_t octet = left_.front();
    left_ = left_.subspan(1);
    return octet;
  }
  std::uint16_t u16() { return static_cast<std::uint16_t>((u8() << 8) | u8()); }
  std::uint32_t u32() { return (std::uint32_t{u16()} << 16) | u16(); }
  std::uint64_t u64() { return (std::uint64_t{u32()} << 32) | u32(); }
  bool flag() { return (u8() & 1) != 0; }
  /// In [0, bound); bound at most 256.
  std::size_t below(std::size_t bound) { return u8() % bound; }
  ByteView take(std::size_t n) {
    const ByteView taken = left_.first(n < left_.size() ? n : left_.size());
    left_ = left_.subspan(taken.size());
    return taken;
  }
  /// Exactly n octets; zeroes where the input ends.
  Bytes exactly(std::size_t n) {
    const ByteView taken = take(n);
    Bytes out(taken.begin(), taken.end());
    out.resize(n);
    return out;
  }
  ByteView rest() { return take(left_.size()); }

 private:
  ByteView left_;
};

struct Target {
  const char* name;
  void (*run)(ByteView);
  const Target* next;
};
/// The registered targets, newest first; empty in a libFuzzer program.
inline const Target*& targets() {
  static const Target* first = nullptr;
  return first;
}
class Registration {
 public:
  Registration(const char* name, void (*run)(ByteView)) : target_{name, run, targets()} {
    targets() = &target_;
  }

 private:
  Target target_;
};

}  // namespace cygnet::fuzz

/// Like assert(), in every build: what does not hold is a finding.
#define FUZZ_REQUIRE(condition) \
  ((condition) ? static_cast<void>(0) : ::cygnet::fuzz::broken(__FILE__, __LINE__, #condition))

#ifdef CYGNET_FUZZ_ENGINE
#define FUZZ_TARGET(name)                                                             \
  static void fuzz_##name(::cygnet::ByteView octets);                                 \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { \
    fuzz_##name({data, size});                                                        \
    return 0;                                                                         \
  }                                                                                   \
  static void fuzz_##name(::cygnet::ByteView octets)
#else
#define FUZZ_TARGET(name)                                                                 \
  static void fuzz_##name(::cygnet::ByteView octets);                                     \
  static const ::cygnet::fuzz::Registration fuzz_registration_##name(#name, fuzz_##name); \
  static void fuzz_##name(::cygnet::ByteView octets)
#endif
