// SPDX-License-Identifier: Apache-2.0
#include "cygnet/debug/debug.h"

#include <istream>
#include <ostream>

#include "cygnet/debug/verbs.h"

namespace cygnet::debug {
namespace {

Result<Json> read_input(std::istream& in) {
  std::string text(kInputLengthMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kInputLengthMax) {
    return fail(kErrJson, "the input exceeds " + std::to_string(kInputLengthMax) + " octets");
  }
  return parse_object(text);
}

Result<Answer> run(const std::vector<std::string>& args, std::istream& in, ServerTime now) {
  std::string verb;
  for (const std::string& arg : args) verb += (verb.empty() ? "" : " ") + arg;
  using Verb = Result<Answer> (*)(const Json&);
  Verb function = nullptr;
  if (verb == "derive") function = derive;
  if (verb == "esp open") function = esp_open;
  if (verb == "esp seal") function = esp_seal;
  if (verb == "dim decode") function = dim_decode;
  if (verb == "dim encode") function = dim_encode;
  if (function == nullptr && verb != "dim check") {
    return fail(kErrUsage, "\"" + verb + "\" is no debugging verb", {},
                "use derive, esp open, esp seal, dim decode, dim encode or dim check");
  }
  CYGNET_TRY(const Json input, read_input(in));
  return function == nullptr ? dim_check(input, now) : function(input);
}

}  // namespace

int run_debug(const std::vector<std::string>& args, std::istream& in, std::ostream& out,
              ServerTime now) {
  Result<Answer> answer = run(args, in, now);
  if (!answer) answer = Answer{Json::object({{"error", error_json(answer.error())}}), true};
  // Text that came in may be no UTF-8; it must not stop the answer.
  out << answer->json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  return answer->refused ? kExitRefused : kExitOk;
}

std::string_view debug_usage() {
  return "derive      SPIs and keys of an SA pair, with every step between\n"
         "esp open    verify and decrypt one ESP packet\n"
         "esp seal    make one ESP packet\n"
         "dim decode  every payload of a DIM with offset, type, length and fields\n"
         "dim encode  the octets of what `dim decode` printed, signed with a key\n"
         "dim check   each of a receiver's checks with its outcome\n";
}

}  // namespace cygnet::debug
