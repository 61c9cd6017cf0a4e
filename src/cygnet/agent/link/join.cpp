// SPDX-License-Identifier: Apache-2.0
#include "cygnet/agent/link/join.h"

#include <algorithm>

#include "cygnet/proto/ids/device_name.h"
#include "cygnet/proto/ids/mesh_address.h"
#include "cygnet/rt/framed_stream.h"
#include "cygnet/rt/tls.h"

namespace cygnet::agent {
namespace {

rt::HostPort controller_of(const wire::JoinLine& line) { return {line.host, line.port}; }

// One question, one answer, on a stream of its own.
Result<EnrolReplyMessage> ask(rt::Loop& loop, const wire::JoinLine& line, const Bytes& request,
                              Duration limit) {
  CYGNET_TRY(auto context, rt::TlsClientContext::create_join({line.ca_fingerprint,
                                                              [&loop] { return loop.wall_now(); },
                                                              wire::controller_name(line.mesh)}));
  std::optional<Result<EnrolReplyMessage>> reply;
  rt::StreamPtr stream;
  rt::ConnectOptions options;
  options.to = controller_of(line);
  const auto pending = rt::connect_stream(
      loop, std::move(context), std::move(options), [&](Result<rt::StreamPtr> opened) {
        if (!opened) {
          reply = fail(opened.error());
          return;
        }
        stream = std::move(*opened);
        rt::FramedStream::Handlers handlers;
        handlers.on_message = [&reply](Bytes octets) { reply = decode_enrol_reply(octets); };
        handlers.on_closed = [&reply](const Error& error) {
          if (!reply) reply = fail(error);
        };
        stream->start(std::move(handlers));
        if (const Status sent = stream->send(Bytes(request)); !sent) reply = fail(sent.error());
      });
  const bool answered = loop.run_until([&reply] { return reply.has_value(); }, limit);
  if (stream) stream->close();
  if (!answered) {
    return fail(kErrJoin, "the controller did not answer in time", controller_of(line).to_string(),
                "look into the log of cygnetd");
  }
  return std::move(*reply);
}

Result<JoinResult> take(const EnrolIssued& issued, const wire::JoinLine& line,
                        const std::string& wanted_label, const crypto::IdentityKey& key,
                        ServerTime now) {
  const auto wrong = [&](std::string what) {
    return fail(kErrJoin, "the controller's answer cannot be used: " + std::move(what),
                controller_of(line).to_string(), "look into the log of cygnetd");
  };
  auto certificate = crypto::Certificate::from_der(issued.certificate);
  if (!certificate) return wrong(certificate.error().to_string());
  JoinResult result{issued.mesh, issued.mesh_name,  {}, std::move(*certificate),
                    {},          issued.server_time};
  bool named_ca = false;
  for (const Bytes& der : issued.trust) {
    auto ca = crypto::Certificate::from_der(der);
    if (!ca) return wrong(ca.error().to_string());
    named_ca = named_ca || rt::certificate_fingerprint(*ca) == line.ca_fingerprint;
    result.trust.push_back(std::move(*ca));
  }
  if (!named_ca) return wrong("its trust bundle lacks the CA that the join line names");
  if (result.certificate.spki() != key.spki()) return wrong("the certificate is for another key");
  if (const Status chain = crypto::verify_chain(result.certificate, {}, result.trust,
                                                std::max(now, issued.server_time));
      !chain) {
    return wrong(chain.error().to_string());
  }
  const auto identity = proto::identity_of_leaf(result.certificate);
  if (!identity) return wrong(identity.error().to_string());
  if (identity->mesh != issued.mesh) return wrong("the certificate is of another mesh");
  if (!wanted_label.empty() && proto::name_label(identity->device) != wanted_label) {
    return wrong("the certificate names " + identity->device.value() + " instead of " +
                 wanted_label);
  }
  result.device = identity->device;
  return result;
}

}  // namespace

Result<JoinResult> join(rt::Loop& loop, const wire::JoinLine& line, const std::string& device_label,
                        const crypto::IdentityKey& key, Duration limit,
                        const std::function<void(Duration)>& on_queued) {
  // The mesh id is not known yet, and without a label neither is the name: the names of the
  // certificate are the controller's to fill in.
  const std::string label = device_label.empty() ? "unnamed" : device_label;
  CYGNET_TRY(const proto::DeviceName asked, proto::make_device_name(label, line.mesh));
  CYGNET_TRY(const Bytes csr, key.make_csr(asked.value(), "cygnet://" + line.mesh + "/" + label));
  const Bytes request = encode_enrol_request({line.token, device_label, csr});
  const Timestamp ends = loop.now() + limit;
  for (;;) {
    CYGNET_TRY(const EnrolReplyMessage reply, ask(loop, line, request, ends - loop.now()));
    if (const auto* issued = std::get_if<EnrolIssued>(&reply)) {
      return take(*issued, line, device_label, key, loop.wall_now());
    }
    if (const auto* refused = std::get_if<EnrolRefused>(&reply)) {
      return fail(refused->error);
    }
    const Duration pause = std::get<EnrolQueued>(reply).retry_after;
    if (loop.now() + pause >= ends) {
      return fail(kErrJoin, "the request waits to be signed by an operator",
                  controller_of(line).to_string(),
                  "run the same `cygnet-agent join` again once the operator has signed it");
    }
    on_queued(pause);
    rt::Timer timer(loop);
    bool rested = false;
    timer.arm_after(pause, [&rested] { rested = true; });
    if (!loop.run_until([&rested] { return rested; }, pause * 2)) continue;
  }
}

}  // namespace cygnet::agent
