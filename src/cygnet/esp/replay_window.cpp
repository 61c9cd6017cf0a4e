// SPDX-License-Identifier: Apache-2.0
#include "cygnet/esp/replay_window.h"

#include <algorithm>
#include <bit>

#include "cygnet/base/assert.h"

namespace cygnet::esp {
namespace {

constexpr std::uint64_t kWordBits = 64;

}  // namespace

ReplayWindow::ReplayWindow(std::uint32_t size, bool esn)
    : size_(size), esn_(esn), mask_(std::bit_ceil(std::uint64_t{std::max(size, 64U)}) - 1) {
  CYGNET_ASSERT(size >= kMinSize && size <= kMaxSize);
  bits_.resize(static_cast<std::size_t>((mask_ + 1) / kWordBits));
}

std::uint64_t ReplayWindow::infer(std::uint32_t sequence_low) const {
  if (!esn_) return sequence_low;
  // RFC 4303 section A2.1, with T the highest number verified, W the window's size, Tl and Th the
  // halves of T, and Bl the low half of the window's left edge T - W + 1.
  const auto tl = static_cast<std::uint32_t>(highest_);
  const std::uint64_t th = highest_ >> 32;
  const std::uint32_t bl = tl - size_ + 1;
  std::uint64_t high = th;
  if (tl >= size_ - 1) {
    // Case A: the window lies within one half. Left of it means the next one.
    if (sequence_low < bl) high = th + 1;
  } else if (sequence_low >= bl && th > 0) {
    // Case B: the window spans two halves. With Th = 0 there is no earlier half: such a number is
    // a long jump ahead, and the ICV decides.
    high = th - 1;
  }
  // No number follows 2^64 - 1: what would is taken for old, and fails the window.
  high &= 0xffffffff;
  return (high << 32) | sequence_low;
}

bool ReplayWindow::check(std::uint64_t sequence) const {
  if (sequence == 0) return false;
  if (sequence > highest_) return true;
  if (!in_window(sequence)) return false;
  const std::uint64_t bit = sequence & mask_;
  return ((bits_[static_cast<std::size_t>(bit / kWordBits)] >> (bit % kWordBits)) & 1) == 0;
}

bool ReplayWindow::update(std::uint64_t sequence) {
  if (!check(sequence)) return false;
  const bool advances = sequence > highest_;
  if (advances) {
    // The numbers skipped over take the places of those that fall out on the left.
    clear_range(highest_ + 1, sequence - highest_);
    highest_ = sequence;
  }
  const std::uint64_t bit = sequence & mask_;
  bits_[static_cast<std::size_t>(bit / kWordBits)] |= std::uint64_t{1} << (bit % kWordBits);
  return advances;
}

void ReplayWindow::clear_range(std::uint64_t first, std::uint64_t count) {
  if (count > mask_) {
    std::fill(bits_.begin(), bits_.end(), 0);
    return;
  }
  while (count > 0) {
    const std::uint64_t bit = first & mask_;
    const std::uint64_t in_word = bit % kWordBits;
    const std::uint64_t n = std::min(count, kWordBits - in_word);
    const std::uint64_t ones = n == kWordBits ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
    bits_[static_cast<std::size_t>(bit / kWordBits)] &= ~(ones << in_word);
    first += n;
    count -= n;
  }
}

std::uint32_t EsnResync::halves_to_try() const {
  if (failures_ < kFailuresBeforeTry) return 0;
  const std::uint32_t beyond = failures_ - kFailuresBeforeTry;
  if (beyond % kFailuresBetweenTries != 0) return 0;
  return 1 + (beyond / kFailuresBetweenTries) % kMaxSkippedHalves;
}

}  // namespace cygnet::esp
