// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/backend/userspace/sender.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "cygnet/base/assert.h"

namespace cygnet::agent::userspace {

Sender::Sender(UdpSocket* v4, UdpSocket* v6, Failures& failures) : failures_(failures) {
  lines_[0].socket = v4;
  lines_[1].socket = v6;
  for (Line& line : lines_) line.ring.resize(kSlots);
}

void Sender::push(const QueuedDatagram& datagram) {
  Line& line = lines_[datagram.to.is_v6() ? 1 : 0];
  CYGNET_ASSERT(line.count < kSlots);  // one entry a slot of the pool, and there are as many
  ++line.count;
  at(line, line.count - 1) = datagram;
}

void Sender::flush() {
  // A refused datagram may move to the other line, so look at the first again.
  do {
    for (Line& line : lines_) flush(line);
  } while (lines_[0].count != 0 && !lines_[0].blocked);
}

void Sender::flush(Line& line) {
  line.blocked = false;
  while (line.count != 0) {
    if (line.socket == nullptr) {
      refused(line, EAFNOSUPPORT);
      continue;
    }
    std::array<Outgoing, kBatch> batch;
    const std::size_t n = std::min(line.count, kBatch);
    for (std::size_t i = 0; i < n; ++i) {
      const QueuedDatagram& datagram = at(line, i);
      batch[i] = {ByteView(pool_[datagram.slot]).subspan(datagram.offset, datagram.length),
                  &datagram.to, datagram.tos};
    }
    const UdpSocket::Sent sent = line.socket->send({batch.data(), n});
    for (std::size_t i = 0; i < sent.count; ++i) pool_.release(at(line, i).slot);
    pop(line, sent.count);
    if (sent.error == EAGAIN || sent.error == ENOBUFS) {
      line.blocked = true;
      return;
    }
    if (sent.error != 0) refused(line, sent.error);
  }
}

void Sender::refused(Line& line, int error) {
  QueuedDatagram datagram = at(line, 0);
  pop(line, 1);
  ++datagram.attempts;
  if (failures_.on_send_failed(datagram, error)) {
    push(datagram);
  } else {
    pool_.release(datagram.slot);
  }
}

}  // namespace cygnet::agent::userspace
