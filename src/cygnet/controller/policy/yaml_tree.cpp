// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/yaml_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <optional>
#include <streambuf>

#include "cygnet/controller/policy/parse.h"

namespace cygnet::controller::policy {
namespace {

Place place_of(const YAML::Mark& mark) {
  return {static_cast<std::uint32_t>(mark.line + 1), static_cast<std::uint32_t>(mark.column + 1)};
}

/// Reads from a view without copying it.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // never written: no put area
    setg(begin, begin, begin + text.size());
  }
};

/// What the events of yaml-cpp make; thrown out of its parser, caught in read_yaml.
struct Refused {
  Place place;
  std::string message;
  std::string cure;
};

class Builder : public YAML::EventHandler {
 public:
  [[nodiscard]] YamlTree take() { return std::move(tree_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    append(YamlNode::Kind::kNull, mark);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(mark, 1); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_extras(mark, tag, anchor);
    tree_.nodes[append(YamlNode::Kind::kScalar, mark)].scalar = value;
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_extras(mark, tag, anchor);
    open(append(YamlNode::Kind::kList, mark), mark);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_extras(mark, tag, anchor);
    open(append(YamlNode::Kind::kMap, mark), mark);
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) {
      throw Refused{place_of(mark), "anchors and aliases are not used here", "write it out"};
    }
  }
  void refuse_extras(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    refuse_anchor(mark, anchor);
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw Refused{place_of(mark), "tags are not used here", "leave out " + tag};
    }
  }
  YamlIndex append(YamlNode::Kind kind, const YAML::Mark& mark) {
    const auto index = static_cast<YamlIndex>(tree_.nodes.size());
    if (!open_.empty()) {
      YamlNode& parent = tree_.nodes[open_.back()];
      if (parent.kind == YamlNode::Kind::kMap && parent.children.size() % 2 == 0 &&
          kind != YamlNode::Kind::kScalar) {
        throw Refused{place_of(mark), "a key is a word", "quote it, or give it a name"};
      }
      parent.children.push_back(index);
    }
    tree_.nodes.push_back({kind, place_of(mark), {}, {}});
    return index;
  }
  void open(YamlIndex index, const YAML::Mark& mark) {
    if (open_.size() >= kYamlDepthMax) {
      throw Refused{place_of(mark), "nested too deeply", "a policy nests four levels"};
    }
    open_.push_back(index);
  }

  YamlTree tree_;
  std::vector<YamlIndex> open_;
};

std::string place_text(std::string_view source, Place place) {
  return std::string(source) + ":" + std::to_string(place.line) + ":" +
         std::to_string(place.column);
}

}  // namespace

Result<YamlTree> read_yaml(std::string_view text, std::string_view source) {
  if (text.size() > kDocumentSizeMax) {
    return fail(kErrYaml, "the document is larger than 64 MiB", std::string(source));
  }
  try {
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    Builder builder;
    if (!parser.HandleNextDocument(builder)) {
      return fail(kErrYaml, "the document is empty", std::string(source),
                  "a policy has at least mesh and devices");
    }
    YamlTree tree = builder.take();
    Builder second;
    if (parser.HandleNextDocument(second)) {
      const YamlTree extra = second.take();
      return fail(
          kErrYaml, "a second document begins",
          extra.nodes.empty() ? std::string(source) : place_text(source, extra.nodes.front().place),
          "one file, one mesh: leave out what follows ---");
    }
    return tree;
  } catch (const Refused& refused) {
    return fail(kErrYaml, refused.message, place_text(source, refused.place), refused.cure);
  } catch (const YAML::Exception& error) {
    return fail(
        kErrYaml, "this is no YAML: " + error.msg,
        error.mark.is_null() ? std::string(source) : place_text(source, place_of(error.mark)),
        "check indentation, colons and quotes there and just before");
  } catch (const std::exception& error) {
    return fail(kErrYaml, std::string("this is no YAML: ") + error.what(), std::string(source));
  }
}

}  // namespace cygnet::controller::policy
