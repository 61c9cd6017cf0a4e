// SPDX-License-Identifier: Apache-2.0
#include "cygnet/controller/policy/parse.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <optional>

#include "cygnet/base/in_quotes.h"
#include "cygnet/controller/policy/nearest.h"
#include "cygnet/controller/policy/values.h"
#include "cygnet/controller/policy/yaml_tree.h"

namespace cygnet::controller::policy {
namespace {

/// Proposals of a document that names none (protocol section 8).
std::vector<std::string_view> default_proposals(Profile profile) {
  if (profile == Profile::kFips) {
    return {"aes256gcm16-ecp256-sha256", "aes128gcm16-ecp256-sha256"};
  }
  return {"aes256gcm16-x25519-sha256", "aes128gcm16-x25519-sha256",
          "chacha20poly1305-x25519-sha256"};
}

class Reader {
 public:
  Reader(const YamlTree& tree, std::string_view source) : tree_(tree) {
    parsed_.document.source = source;
  }

  Parsed run() {
    const Fields root =
        fields(0, "a policy",
               {"mesh", "profile", "proposals", "rekey", "lifetime", "lanes", "replay_window",
                "drain", "forget_cap", "derive", "ppk", "devices", "rules", "tests", "rekeyed"});
    Document& out = parsed_.document;
    out.mesh = required_text(root, "mesh", "a policy", &out.mesh_place);
    if (const auto node = root.find("profile")) {
      out.profile = choice<Profile>(*node, "profile",
                                    {{"default", Profile::kDefault}, {"fips", Profile::kFips}});
    }
    read_proposals(root);
    read_rekey(root);
    read_settings(root);
    for_each_item(root, "devices", [&](YamlIndex node) { read_device(node); });
    for_each_item(root, "rules", [&](YamlIndex node) { read_rule(node); });
    for_each_item(root, "tests", [&](YamlIndex node) { read_test(node); });
    for_each_item(root, "rekeyed", [&](YamlIndex node) {
      out.rekeyed.push_back({text(node, "a name"), tree_[node].place});
    });
    return std::move(parsed_);
  }

 private:
  /// The values of one mapping by key; `known` gives the order.
  struct Fields {
    std::vector<std::pair<std::string_view, YamlIndex>> values;
    Place place;
    [[nodiscard]] std::optional<YamlIndex> find(std::string_view key) const {
      for (const auto& [name, value] : values) {
        if (name == key) return value;
      }
      return std::nullopt;
    }
  };

  void problem(ErrorCode code, std::string message, Place place, std::string cure = {}) {
    if (parsed_.problems.size() >= kProblemsMax) return;
    parsed_.problems.push_back(
        {code, std::move(message), where(parsed_.document, place), std::move(cure)});
  }
  void problem(Error error, Place place) {
    problem(error.code, std::move(error.message), place, std::move(error.cure));
  }

  Fields fields(YamlIndex index, std::string_view what,
                std::initializer_list<std::string_view> known) {
    const YamlNode& node = tree_[index];
    Fields out{{}, node.place};
    if (node.kind != YamlNode::Kind::kMap) {
      problem(kErrValue, std::string(what) + " is a mapping", node.place, "write key: value");
      return out;
    }
    for (std::size_t i = 0; i + 1 < node.children.size(); i += 2) {
      const YamlNode& key = tree_[node.children[i]];
      const auto at = std::find(known.begin(), known.end(), key.scalar);
      if (at == known.end()) {
        const std::string_view near = nearest(key.scalar, known);
        std::string all;
        for (const std::string_view each : known)
          all += (all.empty() ? "" : ", ") + std::string(each);
        problem(kErrUnknownKey, in_quotes(key.scalar) + " is no key of " + std::string(what),
                key.place,
                near.empty() ? "the keys are " + all : "did you mean " + in_quotes(near) + "?");
      } else if (out.find(*at)) {
        problem(kErrDuplicate, in_quotes(key.scalar) + " stands twice", key.place,
                "a key stands once; the first is at " +
                    where(parsed_.document, tree_[*out.find(*at)].place));
      } else if (tree_[node.children[i + 1]].kind != YamlNode::Kind::kNull) {
        out.values.emplace_back(*at, node.children[i + 1]);
      }
    }
    return out;
  }

  std::string text(YamlIndex index, std::string_view what) {
    const YamlNode& node = tree_[index];
    if (node.kind != YamlNode::Kind::kScalar) {
      problem(kErrValue, std::string(what) + " is one word here, not a list or mapping",
              node.place);
    }
    return node.scalar;
  }

  std::string required_text(const Fields& from, std::string_view key, std::string_view what,
                            Place* place = nullptr) {
    const auto node = from.find(key);
    if (!node) {
      problem(kErrMissingKey, std::string(what) + " has no " + std::string(key), from.place,
              "add " + std::string(key) + ": …");
      return {};
    }
    if (place != nullptr) *place = tree_[*node].place;
    return text(*node, key);
  }

  template <class Visit>
  void for_each_item(const Fields& from, std::string_view key, Visit&& visit) {
    const auto index = from.find(key);
    if (!index) return;
    const YamlNode& node = tree_[*index];
    if (node.kind != YamlNode::Kind::kList) {
      problem(kErrValue, std::string(key) + " is a list", node.place,
              "write each item behind a dash, or [a, b]");
      return;
    }
    for (const YamlIndex item : node.children) visit(item);
  }

  template <class T>
  T choice(YamlIndex index, std::string_view key,
           std::initializer_list<std::pair<std::string_view, T>> choices) {
    const std::string word = text(index, key);
    std::string all;
    for (const auto& [name, value] : choices) {
      if (name == word) return value;
      all += (all.empty() ? "" : " or ") + std::string(name);
    }
    problem(kErrValue, in_quotes(word) + " is no " + std::string(key), tree_[index].place,
            "write " + all);
    return choices.begin()->second;
  }

  void duration(const Fields& from, std::string_view key, std::chrono::milliseconds& out) {
    const auto node = from.find(key);
    if (!node) return;
    const std::string word = text(*node, key);
    if (const auto value = parse_duration(word)) {
      out = *value;
    } else {
      problem(kErrValue, in_quotes(word) + " is no duration", tree_[*node].place,
              "write a number with its unit: 90s, 1h, 1h30m (ms, s, m, h, d)");
    }
  }

  template <class T>
  void count(const Fields& from, std::string_view key, T& out) {
    const auto node = from.find(key);
    if (!node) return;
    const std::string word = text(*node, key);
    const auto value = parse_count(word);
    if (value && *value <= std::numeric_limits<T>::max()) {
      out = static_cast<T>(*value);
    } else {
      problem(kErrValue, in_quotes(word) + " is no count", tree_[*node].place,
              "write a whole number, such as 1000, 10k or 2M");
    }
  }

  void read_proposals(const Fields& root) {
    Document& out = parsed_.document;
    const auto add = [&](std::string_view word, Place place) {
      auto policy = proto::policy_from_text(word);
      if (policy) {
        out.proposals.push_back({std::string(word), *policy, place});
      } else {
        problem(std::move(policy).error(), place);
      }
    };
    const auto node = root.find("proposals");
    if (!node) {
      for (const std::string_view each : default_proposals(out.profile)) add(each, {});
      return;
    }
    out.proposals_place = tree_[*node].place;
    for_each_item(root, "proposals",
                  [&](YamlIndex item) { add(text(item, "a proposal"), tree_[item].place); });
  }

  void read_rekey(const Fields& root) {
    const auto node = root.find("rekey");
    if (!node) return;
    RekeySpec& out = parsed_.document.rekey;
    const Fields rekey = fields(*node, "rekey", {"every", "jitter", "packets"});
    parsed_.document.rekey_place = rekey.place;
    duration(rekey, "every", out.every);
    count(rekey, "packets", out.packets);
    if (const auto jitter = rekey.find("jitter")) {
      const std::string word = text(*jitter, "jitter");
      if (const auto value = parse_percent(word)) {
        out.jitter_permille = *value;
      } else {
        problem(kErrValue, in_quotes(word) + " is no share", tree_[*jitter].place,
                "write a percentage, such as 10%");
      }
    }
  }

  void read_settings(const Fields& root) {
    Document& out = parsed_.document;
    duration(root, "lifetime", out.lifetime);
    if (const auto node = root.find("lifetime")) out.lifetime_place = tree_[*node].place;
    duration(root, "drain", out.drain);
    duration(root, "forget_cap", out.forget_cap);
    count(root, "lanes", out.lanes);
    count(root, "replay_window", out.replay_window);
    if (const auto node = root.find("derive")) {
      out.derive = read_derive(*node);
      out.derive_place = tree_[*node].place;
    }
    if (const auto node = root.find("ppk")) {
      const Fields ppk = fields(*node, "ppk", {"mandatory"});
      out.ppk_place = ppk.place;
      if (const auto mandatory = ppk.find("mandatory")) {
        out.ppk_mandatory =
            choice<bool>(*mandatory, "mandatory", {{"false", false}, {"true", true}});
      }
    }
  }

  Derive read_derive(YamlIndex node) {
    return choice<Derive>(node, "derive", {{"lazy", Derive::kLazy}, {"eager", Derive::kEager}});
  }

  void read_device(YamlIndex index) {
    const Fields from = fields(index, "a device", {"name", "labels", "prefixes", "endpoints"});
    DeviceSpec out;
    out.place = from.place;
    out.name = required_text(from, "name", "a device");
    if (const auto labels = from.find("labels")) read_labels(*labels, out);
    for_each_item(from, "prefixes", [&](YamlIndex item) { read_prefix(item, out); });
    for_each_item(from, "endpoints", [&](YamlIndex item) {
      auto endpoint = parse_endpoint(text(item, "an endpoint"));
      if (endpoint) {
        out.endpoints.push_back(*endpoint);
      } else {
        problem(std::move(endpoint).error(), tree_[item].place);
      }
    });
    parsed_.document.devices.push_back(std::move(out));
  }

  void read_labels(YamlIndex index, DeviceSpec& out) {
    const YamlNode& node = tree_[index];
    if (node.kind != YamlNode::Kind::kMap) {
      problem(kErrValue, "labels is a mapping", node.place, "write {role: branch, region: eu}");
      return;
    }
    for (std::size_t i = 0; i + 1 < node.children.size(); i += 2) {
      const YamlNode& key = tree_[node.children[i]];
      const std::string value = text(node.children[i + 1], "a label's value");
      const auto same = [&](const Label& label) { return label.key == key.scalar; };
      if (key.scalar == "name") {
        problem(kErrValue, "name is no label: it is the device's own name", key.place,
                "take another key");
      } else if (!is_label_word(key.scalar) || !is_label_word(value)) {
        problem(kErrValue, in_quotes(key.scalar + ": " + value) + " is no label", key.place,
                "keys and values have 1 to 63 letters, digits, '.', '_', '-' or '/'");
      } else if (std::any_of(out.labels.begin(), out.labels.end(), same)) {
        problem(kErrDuplicate, in_quotes(key.scalar) + " stands twice", key.place,
                "a key stands once");
      } else {
        out.labels.push_back({key.scalar, value});
      }
    }
    std::sort(out.labels.begin(), out.labels.end());
  }

  void read_prefix(YamlIndex index, DeviceSpec& out) {
    PrefixSpec prefix;
    prefix.place = tree_[index].place;
    std::string word;
    if (tree_[index].kind == YamlNode::Kind::kMap) {
      const Fields from = fields(index, "a prefix", {"net", "priority"});
      word = required_text(from, "net", "a prefix", &prefix.place);
      count(from, "priority", prefix.priority);
      if (!from.find("net")) return;
    } else {
      word = text(index, "a prefix");
    }
    auto net = parse_prefix(word);
    if (!net) {
      problem(std::move(net).error(), prefix.place);
      return;
    }
    prefix.net = *net;
    out.prefixes.push_back(prefix);
  }

  Selector selector(const Fields& from, std::string_view key, std::string_view what) {
    Place place;
    const std::string word = required_text(from, key, what, &place);
    if (place.line == 0) return {};
    auto parsed = parse_selector(word);
    if (parsed) return std::move(*parsed);
    problem(std::move(parsed).error(), place);
    return {};
  }

  void read_rule(YamlIndex index) {
    const Fields from = fields(index, "a rule", {"from", "to", "action", "mode", "via", "derive"});
    RuleSpec out;
    out.place = from.place;
    out.from = selector(from, "from", "a rule");
    out.to = selector(from, "to", "a rule");
    if (const auto node = from.find("action")) out.action = read_action(*node, "action");
    if (const auto node = from.find("mode")) {
      enum class Word : std::uint8_t { kAlways, kOnDemand, kTransport };
      const Word word = choice<Word>(*node, "mode",
                                     {{"always", Word::kAlways},
                                      {"on-demand", Word::kOnDemand},
                                      {"transport", Word::kTransport}});
      out.mode = word == Word::kOnDemand ? PairMode::kOnDemand : PairMode::kAlways;
      out.transport = word == Word::kTransport;
      out.mode_place = tree_[*node].place;
    }
    if (const auto node = from.find("via")) {
      out.via = text(*node, "via");
      out.via_place = tree_[*node].place;
    }
    if (const auto node = from.find("derive")) {
      out.derive = read_derive(*node);
      out.derive_place = tree_[*node].place;
    }
    parsed_.document.rules.push_back(std::move(out));
  }

  Action read_action(YamlIndex node, std::string_view key) {
    return choice<Action>(node, key, {{"allow", Action::kAllow}, {"deny", Action::kDeny}});
  }

  void read_test(YamlIndex index) {
    const Fields from = fields(index, "a test", {"from", "to", "expect"});
    TestSpec out;
    out.place = from.place;
    out.from = required_text(from, "from", "a test", &out.from_place);
    out.to = required_text(from, "to", "a test", &out.to_place);
    if (const auto node = from.find("expect")) {
      out.expect = read_action(*node, "expect");
    } else {
      problem(kErrMissingKey, "a test has no expect", from.place, "add expect: allow or deny");
    }
    parsed_.document.tests.push_back(std::move(out));
  }

  const YamlTree& tree_;
  Parsed parsed_;
};

}  // namespace

Parsed parse_all(std::string_view yaml, std::string_view source) {
  auto tree = read_yaml(yaml, source);
  if (!tree) {
    Parsed nothing;
    nothing.document.source = source;
    nothing.problems.push_back(std::move(tree).error());
    return nothing;
  }
  return Reader(*tree, source).run();
}

Result<Document> parse(std::string_view yaml, std::string_view source) {
  Parsed parsed = parse_all(yaml, source);
  if (parsed.problems.empty()) return std::move(parsed.document);
  Error first = std::move(parsed.problems.front());
  if (const std::size_t more = parsed.problems.size() - 1; more != 0) {
    first.message +=
        " (and " + std::to_string(more) + (more == 1 ? " problem" : " problems") + " more)";
  }
  return fail(std::move(first));
}

}  // namespace cygnet::controller::policy
