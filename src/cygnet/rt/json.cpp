// SPDX-License-Identifier: Apache-2.0
#include "cygnet/rt/json.h"

namespace cygnet::rt {
namespace {

constexpr int kJsonDepthMax = 64;

std::string line_and_column(std::string_view text, std::size_t octet) {
  std::size_t line = 1;
  std::size_t column = 1;
  for (std::size_t i = 0; i + 1 < octet && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++line;
      column = 1;
    } else {
      ++column;
    }
  }
  return "line " + std::to_string(line) + " column " + std::to_string(column);
}

tl::unexpected<Error> wrong(const char* name, const char* wanted) {
  return fail(kErrJson, std::string("member \"") + name + "\" must be " + wanted);
}

/// nullptr value: missing or null.
Result<const Json*> member(const Json& object, const char* name) {
  if (!object.is_object()) return fail(kErrJson, "a JSON object is needed");
  const auto found = object.find(name);
  if (found == object.end() || found->is_null()) return static_cast<const Json*>(nullptr);
  return &*found;
}

}  // namespace

Result<Json> parse_json(std::string_view text) {
  try {
    bool too_deep = false;
    // Depth first: the parser recurses while destroying, so depth must be bounded while parsing.
    const Json::parser_callback_t limit = [&](int depth, Json::parse_event_t, Json&) {
      if (depth > kJsonDepthMax) too_deep = true;
      return !too_deep;
    };
    Json out = Json::parse(text.begin(), text.end(), limit);
    if (too_deep) return fail(kErrJson, "JSON nested deeper than 64 levels");
    return out;
  } catch (const Json::parse_error& error) {
    return fail(kErrJson, "not valid JSON", line_and_column(text, error.byte),
                "check brackets, commas and quotes around this place");
  } catch (const std::exception& error) {
    return fail(kErrJson, std::string("not valid JSON: ") + error.what());
  }
}

std::string dump_json(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string dump_json_pretty(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

Result<std::optional<std::string>> json_string(const Json& object, const char* name) {
  CYGNET_TRY(const Json* found, member(object, name));
  if (found == nullptr) return std::optional<std::string>();
  if (!found->is_string()) return wrong(name, "a string");
  return std::optional<std::string>(found->get<std::string>());
}

Result<std::optional<std::uint64_t>> json_uint(const Json& object, const char* name) {
  CYGNET_TRY(const Json* found, member(object, name));
  if (found == nullptr) return std::optional<std::uint64_t>();
  if (!found->is_number_unsigned()) return wrong(name, "a whole number, zero or more");
  return std::optional<std::uint64_t>(found->get<std::uint64_t>());
}

Result<std::optional<bool>> json_bool(const Json& object, const char* name) {
  CYGNET_TRY(const Json* found, member(object, name));
  if (found == nullptr) return std::optional<bool>();
  if (!found->is_boolean()) return wrong(name, "true or false");
  return std::optional<bool>(found->get<bool>());
}

}  // namespace cygnet::rt
