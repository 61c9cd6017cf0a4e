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
  queued_octets_ += datagram.length;
}

void Sender::flush() {
  queued_octets_ = 0;
  // A refused datagram may move to the other line, so look at the first again.
  do {
    for (Line& line : lines_) flush(line);
  } while (lines_[0].count != 0 && !lines_[0].blocked);
}

Sender::Piece Sender::piece(const Line& line, const QueuedDatagram& datagram,
                            std::uint32_t offset) {
  const std::uint32_t left = datagram.length - offset;
  if (datagram.segment == 0 || left <= datagram.segment) return {left, 0};
  if (datagram.one_by_one || !line.socket->offloads().segmentation) return {datagram.segment, 0};
  return {left, datagram.segment};
}

void Sender::flush(Line& line) {
  line.blocked = false;
  while (line.count != 0) {
    if (line.socket == nullptr) {
      refused(line, EAFNOSUPPORT);
      continue;
    }
    std::array<Outgoing, kBatch> batch;
    std::size_t n = 0;
    const bool in_one_piece = at(line, 0).path_probe != 0;
    for (std::size_t i = 0; i < line.count && n < kBatch; ++i) {
      const QueuedDatagram& datagram = at(line, i);
      if ((datagram.path_probe != 0) != in_one_piece) break;
      for (std::uint32_t done = 0; done < datagram.length && n < kBatch;) {
        const Piece next = piece(line, datagram, done);
        batch[n++] = {ByteView(pool_[datagram.slot]).subspan(datagram.offset + done, next.length),
                      &datagram.to, datagram.tos, next.segment};
        done += next.length;
      }
    }
    const UdpSocket::Sent result = line.socket->send({batch.data(), n}, in_one_piece);
    sent(line, result.count);
    if (result.error == EAGAIN || result.error == ENOBUFS) {
      line.blocked = true;
      return;
    }
    if (result.error != 0) refused(line, result.error);
  }
}

void Sender::sent(Line& line, std::size_t pieces) {
  for (; pieces > 0; --pieces) {
    QueuedDatagram& datagram = at(line, 0);
    const std::uint32_t length = piece(line, datagram, 0).length;
    datagram.offset += length;
    datagram.length -= length;
    if (datagram.length != 0) continue;
    pool_.release(datagram.slot);
    pop(line, 1);
  }
}

void Sender::refused(Line& line, int error) {
  QueuedDatagram& first = at(line, 0);
  const bool segmented = line.socket != nullptr && piece(line, first, 0).segment != 0;
  // A segment larger than the path (EINVAL, EMSGSIZE), a device that cannot compute checksums
  // (EIO): one by one the kernel takes them, in fragments if need be.
  if (segmented && (error == EINVAL || error == EMSGSIZE || error == EIO)) {
    first.one_by_one = true;
    return;
  }
  QueuedDatagram datagram = first;
  pop(line, 1);
  ++datagram.attempts;
  if (failures_.on_send_failed(datagram, error)) {
    push(datagram);
  } else {
    pool_.release(datagram.slot);
  }
}

}  // namespace cygnet::agent::userspace
