// SPDX-License-Identifier: Apache-2.0
// The only file that sees yaml-cpp: its events become a ConfigValue tree. Events rather than
// YAML::Node, because a Node silently keeps the first of two equal keys and expands aliases.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <sstream>

#include "cygnet/rt/config.h"
#include "cygnet/rt/fs.h"

namespace cygnet::rt {
namespace {

constexpr std::size_t kYamlSizeMax = std::size_t{16} << 20;
constexpr std::size_t kYamlDepthMax = 32;

/// Thrown by Builder to leave the parser, caught in parse().
struct Refused {
  ConfigPosition position;
  std::string message;
  std::string cure;
};

ConfigPosition position_of(const YAML::Mark& mark) {
  return {static_cast<std::uint32_t>(mark.line + 1), static_cast<std::uint32_t>(mark.column + 1)};
}

class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(ConfigValue& root) : root_(root) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    leaf(mark, anchor, ConfigValue::Kind::kNull, {}, false);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_alias(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool quoted = tag == "!";
    const bool null = !quoted && (value.empty() || value == "~" || value == "null");
    leaf(mark, anchor, null ? ConfigValue::Kind::kNull : ConfigValue::Kind::kScalar, value, quoted);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, anchor, ConfigValue::Kind::kList);
  }
  void OnSequenceEnd() override { stack_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, anchor, ConfigValue::Kind::kMap);
  }
  void OnMapEnd() override { stack_.pop_back(); }

 private:
  struct Open {
    ConfigValue* value;
    bool want_key;
  };

  [[noreturn]] static void refuse_alias(const YAML::Mark& mark) {
    throw Refused{position_of(mark), "anchors and aliases are not allowed here",
                  "write the value out in each place"};
  }

  /// Where the next value goes; a key of a mapping is stored at once and gives nullptr.
  ConfigValue* place(const YAML::Mark& mark, const std::string* key) {
    if (stack_.empty()) {
      root_.position = position_of(mark);
      return &root_;
    }
    Open& top = stack_.back();
    if (top.value->kind == ConfigValue::Kind::kList) {
      ConfigValue& item = top.value->items.emplace_back();
      item.position = position_of(mark);
      return &item;
    }
    if (top.want_key) {
      if (key == nullptr) {
        throw Refused{position_of(mark), "a key must be a word", "write key: value"};
      }
      if (const ConfigValue* first = top.value->find(*key)) {
        throw Refused{position_of(mark),
                      "key \"" + *key + "\" is given twice (first on line " +
                          std::to_string(first->position.line) + ")",
                      "keep one of the two"};
      }
      ConfigValue::Member& member = top.value->members.emplace_back();
      member.key = *key;
      member.position = position_of(mark);
      member.value.position = member.position;
      top.want_key = false;
      return nullptr;
    }
    top.want_key = true;
    ConfigValue& value = top.value->members.back().value;
    value.position = position_of(mark);
    return &value;
  }

  void leaf(const YAML::Mark& mark, YAML::anchor_t anchor, ConfigValue::Kind kind,
            const std::string& text, bool quoted) {
    if (anchor != 0) refuse_alias(mark);
    ConfigValue* value = place(mark, kind == ConfigValue::Kind::kScalar ? &text : nullptr);
    if (value == nullptr) return;
    // An absent value has no mark of its own: the key's position is the better place to point at.
    if (kind == ConfigValue::Kind::kNull && !stack_.empty() &&
        stack_.back().value->kind == ConfigValue::Kind::kMap) {
      value->position = stack_.back().value->members.back().position;
    }
    value->kind = kind;
    if (kind == ConfigValue::Kind::kScalar) value->scalar = text;
    value->quoted = quoted;
  }

  void open(const YAML::Mark& mark, YAML::anchor_t anchor, ConfigValue::Kind kind) {
    if (anchor != 0) refuse_alias(mark);
    if (stack_.size() >= kYamlDepthMax) {
      throw Refused{position_of(mark),
                    "nested deeper than " + std::to_string(kYamlDepthMax) + " levels",
                    "flatten the document"};
    }
    ConfigValue* value = place(mark, nullptr);
    value->kind = kind;
    stack_.push_back({value, true});
  }

  ConfigValue& root_;
  // Pointers stay valid: a container grows only while none of its children is open.
  std::vector<Open> stack_;
};

std::string at(const std::string& source, ConfigPosition position) {
  return source + ":" + std::to_string(position.line) + ":" + std::to_string(position.column);
}

}  // namespace

Result<ConfigDocument> ConfigDocument::parse(std::string_view yaml, std::string source) {
  if (yaml.size() > kYamlSizeMax) {
    return fail(kErrConfigSyntax,
                "document of " + std::to_string(yaml.size()) + " octets is larger than 16 MiB",
                source, "split it");
  }
  auto root = std::make_shared<ConfigValue>();
  try {
    std::istringstream stream{std::string(yaml)};
    YAML::Parser parser(stream);
    Builder builder(*root);
    parser.HandleNextDocument(builder);
    ConfigValue more;
    Builder second(more);
    if (parser.HandleNextDocument(second)) {
      return fail(kErrConfigSyntax, "a second document begins here", at(source, more.position),
                  "one document a file: remove the --- line");
    }
  } catch (const Refused& refused) {
    return fail(kErrConfigSyntax, refused.message, at(source, refused.position), refused.cure);
  } catch (const YAML::Exception& error) {
    return fail(kErrConfigSyntax, "not valid YAML: " + error.msg,
                at(source, position_of(error.mark)),
                "check indentation, brackets and quotes around this place");
  } catch (const std::exception& error) {
    return fail(kErrConfigSyntax, std::string("not valid YAML: ") + error.what(), source);
  }
  return ConfigDocument(std::move(root), std::move(source));
}

Result<ConfigDocument> ConfigDocument::load(const std::string& path) {
  CYGNET_TRY(auto text, read_text_file(path, kYamlSizeMax + 1));
  return parse(text, path);
}

}  // namespace cygnet::rt
