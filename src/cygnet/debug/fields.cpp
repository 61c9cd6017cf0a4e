// SPDX-License-Identifier: Apache-2.0
#include "cygnet/debug/fields.h"

namespace cygnet::debug {
namespace {

tl::unexpected<Error> wrong_type(const std::string& path, const Json& value, const char* wanted) {
  return fail(kErrWrongType,
              "field " + path + " is " + std::string(value.type_name()) + ", not " + wanted);
}

}  // namespace

Result<Json> parse_object(std::string_view text) {
  // nlohmann keeps the last of two equal keys; which one was meant nobody knows, so refuse.
  std::vector<std::set<std::string>> keys;
  std::string repeated;
  const auto watch = [&](int, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key &&
        !keys.back().insert(parsed.get<std::string>()).second) {
      repeated = parsed.get<std::string>();
    }
    return true;
  };
  try {
    Json value = Json::parse(text, watch);
    if (!repeated.empty()) return fail(kErrJson, "field " + repeated + " is given twice");
    if (!value.is_object()) return fail(kErrJson, "the input is no JSON object");
    return value;
  } catch (const Json::exception& e) {
    return fail(kErrJson, std::string("the input is no JSON: ") + e.what());
  }
}

Result<Fields> Fields::of(const Json& value, std::string path) {
  if (!value.is_object()) {
    if (!path.empty() && path.back() == '.') path.pop_back();
    return wrong_type(path.empty() ? "input" : path, value, "an object");
  }
  return Fields(value, std::move(path));
}

Result<const Json*> Fields::get(std::string_view name) {
  asked_.emplace(name);
  const auto it = value_->find(std::string(name));
  if (it == value_->end()) {
    return fail(kErrMissingField, "field " + path_of(name) + " is missing");
  }
  return &*it;
}

bool Fields::has(std::string_view name) {
  const auto value = get(name);
  return value && !(*value)->is_null();
}

Result<std::string> Fields::text(std::string_view name) {
  CYGNET_TRY(const Json* value, get(name));
  return text_of(*value, path_of(name));
}

Result<Bytes> Fields::octets(std::string_view name) {
  CYGNET_TRY(const Json* value, get(name));
  return octets_of(*value, path_of(name));
}

Result<bool> Fields::boolean(std::string_view name) {
  CYGNET_TRY(const Json* value, get(name));
  if (!value->is_boolean()) return wrong_type(path_of(name), *value, "true or false");
  return value->get<bool>();
}

Result<std::uint64_t> Fields::number(std::string_view name, std::uint64_t max) {
  CYGNET_TRY(const Json* value, get(name));
  if (!value->is_number_integer()) return wrong_type(path_of(name), *value, "an integer");
  const bool negative = !value->is_number_unsigned();
  if (negative || value->get<std::uint64_t>() > max) {
    return fail(kErrRange, "field " + path_of(name) + " is " + value->dump() + ", outside 0 to " +
                               std::to_string(max));
  }
  return value->get<std::uint64_t>();
}

Result<Fields> Fields::object(std::string_view name) {
  CYGNET_TRY(const Json* value, get(name));
  return Fields::of(*value, path_of(name) + ".");
}

Result<const Json*> Fields::array(std::string_view name) {
  CYGNET_TRY(const Json* value, get(name));
  if (!value->is_array()) return wrong_type(path_of(name), *value, "an array");
  return value;
}

void Fields::ignore(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) asked_.emplace(name);
}

Status Fields::done() const {
  for (const auto& [name, value] : value_->items()) {
    if (asked_.find(name) != asked_.end()) continue;
    std::string known;
    for (const std::string& field : asked_) known += (known.empty() ? "" : ", ") + field;
    return fail(kErrUnknownField, "field " + path_of(name) + " is unknown", {},
                "fields here are: " + known);
  }
  return {};
}

Result<Bytes> octets_of(const Json& value, const std::string& path) {
  if (!value.is_string()) return wrong_type(path, value, "hex text");
  Result<Bytes> octets = from_hex(value.get_ref<const std::string&>());
  if (!octets) return fail(kErrHex, "field " + path + ": " + octets.error().message);
  return octets;
}

Result<std::string> text_of(const Json& value, const std::string& path) {
  if (!value.is_string()) return wrong_type(path, value, "text");
  return value.get<std::string>();
}

Json error_json(const Error& error) {
  // The place is in the message too, for readers who look at nothing else.
  const std::string place = error.where.empty() ? "" : error.where + ": ";
  Json out = {{"code", error.code.name()}, {"message", place + error.message}};
  if (!error.where.empty()) out["where"] = error.where;
  if (!error.cure.empty()) out["cure"] = error.cure;
  return out;
}

}  // namespace cygnet::debug
