// SPDX-License-Identifier: Apache-2.0
#include "explorer.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <unordered_map>

#include "checkers.h"

namespace cygnet::explore {
namespace {

/// 128 bits of a canonical form: two states in a run of millions do not collide.
struct Key {
  std::uint64_t a, b;
  friend bool operator==(const Key&, const Key&) = default;
};
struct KeyHash {
  std::size_t operator()(const Key& key) const { return static_cast<std::size_t>(key.a); }
};

std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

Key key_of(const std::string& canonical) {
  Key key{0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL};
  for (std::size_t i = 0; i < canonical.size(); i += 8) {
    std::uint64_t word = 0;
    for (std::size_t k = 0; k < 8 && i + k < canonical.size(); ++k) {
      word |= std::uint64_t{static_cast<unsigned char>(canonical[i + k])} << (8 * k);
    }
    key.a = mix(key.a ^ word) + 0x9e3779b97f4a7c15ULL;
    key.b = mix(key.b + word * 0xff51afd7ed558ccdULL) ^ 0xc2b2ae3d27d4eb4fULL;
  }
  key.a = mix(key.a + canonical.size());
  return key;
}

struct Graph {
  std::vector<std::uint32_t> parent;
  std::vector<Action> how;
  std::vector<bool> settled, carries;
  struct Edge {
    std::uint32_t from, to;
    Act act;
  };
  std::vector<Edge> edges;
};

std::string trace_to(const Scenario& scenario, const Graph& graph, std::uint32_t state,
                     const std::optional<Action>& last, std::size_t then = 0) {
  std::vector<Action> path;
  for (std::uint32_t n = state; n != 0; n = graph.parent[n]) path.push_back(graph.how[n]);
  std::reverse(path.begin(), path.end());
  if (last) path.push_back(*last);
  World world(scenario);
  std::string text;
  for (const Action& action : path) {
    text += "  " + describe(action, world) + "\n";
    const auto broken = world.apply(scenario, action, &text);
    if (broken) text += "    ** " + broken->property + ": " + broken->text + "\n";
  }
  if (then > 0) text += "  -- and if nothing more is inflicted, for example:\n";
  for (; then > 0; --then) {
    std::optional<Action> next;
    for (const Action& action : world.actions(scenario)) {
      if (!is_inflicted(action.act) && (!next || next->act == Act::kSend)) next = action;
    }
    if (!next) break;
    text += "  " + describe(*next, world) + "\n";
    (void)world.apply(scenario, *next, &text);
  }
  return text;
}

/// The first state from which no goal can be reached over the edges that count.
std::optional<std::uint32_t> stuck(const Graph& graph, const std::vector<bool>& goal, bool timeless,
                                   bool quiet) {
  const auto counts = [&](Act act) {
    if (is_inflicted(act) || (timeless && act == Act::kTime)) return false;
    return !quiet || (act != Act::kSend && act != Act::kAttach);
  };
  const std::size_t n = graph.parent.size();
  std::vector<std::uint32_t> first(n + 1, 0), from;
  for (const auto& edge : graph.edges) {
    if (counts(edge.act)) ++first[edge.to + 1];
  }
  for (std::size_t i = 0; i < n; ++i) first[i + 1] += first[i];
  from.resize(first[n]);
  std::vector<std::uint32_t> next(first.begin(), first.end() - 1);
  for (const auto& edge : graph.edges) {
    if (counts(edge.act)) from[next[edge.to]++] = edge.from;
  }
  std::vector<bool> good = goal;
  std::vector<std::uint32_t> work;
  for (std::uint32_t i = 0; i < n; ++i) {
    if (good[i]) work.push_back(i);
  }
  while (!work.empty()) {
    const std::uint32_t to = work.back();
    work.pop_back();
    for (std::uint32_t k = first[to]; k < first[to + 1]; ++k) {
      if (good[from[k]]) continue;
      good[from[k]] = true;
      work.push_back(from[k]);
    }
  }
  for (std::uint32_t i = 0; i < n; ++i) {
    if (!good[i]) return i;
  }
  return std::nullopt;
}

}  // namespace

Outcome explore(const Scenario& scenario, const Liveness& liveness) {
  const auto begin = std::chrono::steady_clock::now();
  Outcome outcome;
  Graph graph;
  std::unordered_map<Key, std::uint32_t, KeyHash> ids;
  std::deque<World> frontier;

  const auto finish = [&] {
    outcome.states = graph.parent.size();
    outcome.edges = graph.edges.size();
    outcome.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  const auto admit = [&](World&& world, std::uint32_t parent, const Action& how) {
    const auto [it, fresh] =
        ids.try_emplace(key_of(world.canonical(scenario)), static_cast<std::uint32_t>(ids.size()));
    if (fresh) {
      graph.parent.push_back(parent);
      graph.how.push_back(how);
      graph.settled.push_back(liveness.goal ? liveness.goal(scenario, world) : is_settled(world));
      graph.carries.push_back(carries_traffic(world));
      for (const Device& d : world.device) {
        for (const Towards& t : d.towards) {
          outcome.pairs_max = std::max(outcome.pairs_max, t.inbound.size() + t.installing.size());
        }
        outcome.privates_max = std::max(outcome.privates_max, d.privates.size());
      }
      frontier.push_back(std::move(world));
    }
    return std::pair(it->second, fresh);
  };

  admit(World(scenario), 0, Action{});
  for (std::uint32_t n = 0; !frontier.empty(); ++n) {
    const World world = std::move(frontier.front());
    frontier.pop_front();
    for (const Action& action : world.actions(scenario)) {
      World next = world;
      auto broken = next.apply(scenario, action);
      if (!broken) {
        const auto [to, fresh] = admit(std::move(next), n, action);
        graph.edges.push_back({n, to, action.act});
        if (fresh) broken = check_state(scenario, frontier.back());
        // S5 asks a question of two copies of the machines: often enough, not always.
        if (fresh && !broken && to % 16 == 0) broken = check_s5(frontier.back());
      }
      if (broken) {
        outcome.violation = broken;
        outcome.trace = trace_to(scenario, graph, n, action);
        finish();
        return outcome;
      }
    }
    if (graph.parent.size() > scenario.states_max) {
      outcome.exhausted = false;
      break;
    }
  }
  finish();
  if (!outcome.exhausted) return outcome;

  if (liveness.settles) {
    if (const auto state = stuck(graph, graph.settled, false, liveness.quiet)) {
      outcome.violation = Violation{liveness.property, "the goal cannot be reached any more"};
      outcome.trace = trace_to(scenario, graph, *state, std::nullopt, 24);
    }
  }
  if (liveness.recovers_fast && !outcome.violation) {
    if (const auto state = stuck(graph, graph.carries, true, false)) {
      outcome.violation = Violation{"L3", "no traffic without waiting"};
      outcome.trace = trace_to(scenario, graph, *state, std::nullopt);
    }
  }
  finish();
  return outcome;
}

std::string summary(const Scenario& scenario, const Outcome& outcome) {
  char line[256];
  std::snprintf(line, sizeof line, "%-34s states=%8zu edges=%9zu pairs<=%zu private<=%zu %6.1fs %s",
                scenario.name.c_str(), outcome.states, outcome.edges, outcome.pairs_max,
                outcome.privates_max, outcome.seconds,
                outcome.violation ? outcome.violation->property.c_str()
                                  : (outcome.exhausted ? "ok" : "NOT EXHAUSTED"));
  return line;
}

}  // namespace cygnet::explore
