// SPDX-License-Identifier: Apache-2.0
#include "cygnet/esp/drop.h"

namespace cygnet::esp {

std::string_view to_string(EspDrop drop) {
  switch (drop) {
    case EspDrop::kTooShort:
      return "too-short";
    case EspDrop::kLength:
      return "length";
    case EspDrop::kUnknownSpi:
      return "unknown-spi";
    case EspDrop::kKeysPending:
      return "keys-pending";
    case EspDrop::kReplay:
      return "replay";
    case EspDrop::kIcv:
      return "icv";
    case EspDrop::kControlRate:
      return "control-rate";
    case EspDrop::kSocketOverflow:
      return "socket-overflow";
    case EspDrop::kPadding:
      return "padding";
    case EspDrop::kNextHeader:
      return "next-header";
    case EspDrop::kDummy:
      return "dummy";
    case EspDrop::kInnerVersion:
      return "inner-version";
    case EspDrop::kInnerLength:
      return "inner-length";
    case EspDrop::kInnerSource:
      return "inner-source";
    case EspDrop::kInnerDestination:
      return "inner-destination";
    case EspDrop::kInnerIcmp:
      return "inner-icmp";
    case EspDrop::kProbe:
      return "probe";
    case EspDrop::kProbeRate:
      return "probe-rate";
    case EspDrop::kEcn:
      return "ecn";
    case EspDrop::kTunWrite:
      return "tun-write";
    case EspDrop::kNotIp:
      return "not-ip";
    case EspDrop::kLinkScope:
      return "link-scope";
    case EspDrop::kNoRoute:
      return "no-route";
    case EspDrop::kOutboundSource:
      return "outbound-source";
    case EspDrop::kTooBig:
      return "too-big";
    case EspDrop::kHeldDropped:
      return "held-dropped";
    case EspDrop::kNoSa:
      return "no-sa";
    case EspDrop::kNoEndpoint:
      return "no-endpoint";
    case EspDrop::kProbeNoSa:
      return "probe-no-sa";
    case EspDrop::kProbeSend:
      return "probe-send";
    case EspDrop::kSeqOverflow:
      return "seq-overflow";
    case EspDrop::kSealFailed:
      return "seal-failed";
    case EspDrop::kOuterSend:
      return "outer-send";
    case EspDrop::kQueueFull:
      return "queue-full";
    case EspDrop::kTunQueue:
      return "tun-queue";
  }
  return "unknown";
}

}  // namespace cygnet::esp
