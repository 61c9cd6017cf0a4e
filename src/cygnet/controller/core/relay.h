// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The relay: a mesh's compacted change log, who may hear whom, and a cursor for each session
/// (docs/controller.md, "Relay"; protocol section 7, "Order", "Back-pressure").
///
///  - One total order. Every change takes the next position; of each device only the newest change
///    is kept, so the log is as long as the mesh has devices.
///  - "An edge that policy adds at position p counts as if both DIMs were written at p."
///  - A session is a cursor and a queue of the peers that changed since. A peer stands in it at
///  most
///    once (latest wins), so the backlog is bounded by the number of peers, not by the rate of
///    change.
///  - A change is encoded once and shared by every session; a session that is up to date and hears
///    one change shares even the whole message with all others like it.
///  - Cost of a change: the device's peers. Nothing walks the mesh.
///  - An on-demand edge is *asleep* until one of the two wants the other: its policy and prefixes
///    are told, DIMs and endpoints are not (relay_demand.cpp).
///
/// The relay knows no DIM's content and asks no clock; it never refuses input, the core has judged
/// it before. Pure; a value owned by one thread.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "cygnet/controller/core/marks.h"
#include "cygnet/controller/core/octet_pool.h"
#include "cygnet/controller/core/values.h"
#include "cygnet/controller/core/wire_encode.h"
#include "cygnet/proto/ids/ids.h"

namespace cygnet::controller {

/// How an edge behaves, as peers are told.
struct EdgePolicy {
  bool on_demand = false;
  std::string via;
  friend auto operator<=>(const EdgePolicy&, const EdgePolicy&) = default;
};
extern const EdgePolicy kDefaultEdgePolicy;

/// One device's side of an edge: what it was told about a peer and what it said about it.
struct Link {
  DeviceIndex peer = 0;
  bool removed = false;  ///< a tombstone of the edge
  bool asleep = false;   ///< on demand, and the peer's DIM is not to be told yet
  /// Shared by all edges that behave alike, a mesh has a handful; the relay owns it. Never null.
  const EdgePolicy* policy = &kDefaultEdgePolicy;
  Position since = 0;         ///< the edge came (or went) here
  Position sent = 0;          ///< told up to here; 0: nothing yet
  Position queued = 0;        ///< key of the valid queue entry; 0: none
  Position unacked = 0;       ///< cursor of the update that told it last; 0: acknowledged
  proto::RekeyCounter told;   ///< DIM in that update
  proto::RekeyCounter acked;  ///< newest DIM of the peer that this device acknowledged
  ServerTime removed_at;
};

struct RelayStats {
  std::uint64_t deliveries = 0;       ///< peer changes handed to sessions
  std::uint64_t coalesced = 0;        ///< queued changes that a newer one replaced
  std::uint64_t shared_messages = 0;  ///< whole messages reused from another session
};

class Relay {
 public:
  /// @param epoch  names this log; a cursor of another epoch gets a snapshot.
  Relay(std::shared_ptr<policy::DeviceNames> names, std::string mesh_name, Bytes epoch,
        Position start);

  // ---- The log. Each call is one change; `at` rises from call to call (core: commit order).

  void set_dim(DeviceIndex device, RelayedDim dim, proto::RekeyCounter counter, Position at,
               Timestamp now);
  /// The DIM goes (revoked, deleted); peers learn it through remove_edge.
  void drop_dim(DeviceIndex device);
  /// A renewed certificate (same key) takes the place of the one the DIM came with. No change of
  /// the log: whoever holds the DIM needs nothing new.
  void refresh_certificate(DeviceIndex device, SharedOctets certificate);
  void set_endpoints(DeviceIndex device, std::vector<Endpoint> endpoints, Position at);
  void set_prefixes(DeviceIndex device, std::vector<policy::PrefixSpec> prefixes, Position at);
  /// Adds the edge or changes its policy, for both sides.
  void put_edge(DeviceIndex a, DeviceIndex b, EdgePolicy policy, Position at, Timestamp now);
  /// Leaves a tombstone on both sides. No edge: no effect.
  void remove_edge(DeviceIndex a, DeviceIndex b, Position at, ServerTime wall, Timestamp now);
  /// Tells `device` again all about a peer, as if it had just changed for it alone (bad SPI).
  void resend(DeviceIndex device, DeviceIndex peer, Position at);
  /// "On-demand: the controller sends A's DIM to B, awaits B's Ack, then sends B's to A." `device`
  /// is A. Of an edge that is awake already: resend(). Call it again for what take_wanted() names.
  void want(DeviceIndex device, DeviceIndex peer, Position at, Timestamp now);
  /// Moves the log on without a change.
  void advance(Position at);
  /// Forgets tombstones removed before a time that no session still waits for.
  std::size_t drop_tombstones(ServerTime before);

  // ---- Sessions.

  struct Resume {
    ByteView epoch;
    Position position = 0;
  };
  /// A cursor of this epoch, not from the future, is honoured: only what was missed follows. Else a
  /// snapshot: everything between a begin and an end mark. @return whether it was honoured.
  /// @param held  on-demand peers whose DIM the device says it holds, sorted: those edges are
  /// awake.
  bool attach(DeviceIndex device, SessionId session, std::optional<Resume> resume, Timestamp now,
              const std::vector<DeviceIndex>& held = {});
  void detach(DeviceIndex device, Timestamp now);
  [[nodiscard]] bool attached(DeviceIndex device) const;
  [[nodiscard]] std::optional<SessionId> session_of(DeviceIndex device) const;

  /// New settings or revocations travel with the device's next update.
  void set_settings(DeviceIndex device, SharedOctets settings);
  void set_revocations(SharedOctets revocations);  ///< to every attached device

  /// The next update for a device, at most about `size_max` octets (one change always fits);
  /// null when it is up to date.
  [[nodiscard]] SharedOctets next_update(DeviceIndex device, std::size_t size_max);
  [[nodiscard]] bool has_update(DeviceIndex device) const;

  struct PendingPeer {
    DeviceIndex peer = 0;
    proto::RekeyCounter counter;
  };
  /// "Ack (cursor; sent after everything up to it is installed, refused, or pending; pending ones
  /// are named and do not count as acknowledged)." @return false: no cursor of this log.
  bool acknowledge(DeviceIndex device, ByteView epoch, Position cursor,
                   const std::vector<PendingPeer>& pending, Timestamp now);

  /// Devices whose session got something to send, in order; each once until next_update() is asked
  /// for it.
  [[nodiscard]] std::vector<DeviceIndex> take_woken();

  /// (device, peer) for which want() has more to do, in the log's order.
  [[nodiscard]] std::vector<std::pair<DeviceIndex, DeviceIndex>> take_wanted();

  // ---- Delivery marks (marks.h) for the devices themselves.

  [[nodiscard]] Marks& marks() { return marks_; }
  [[nodiscard]] const Marks& marks() const { return marks_; }
  /// Peers that hold the device's newest DIM, for a device that attaches anew.
  [[nodiscard]] std::vector<DeviceIndex> acknowledged_by(DeviceIndex device) const;

  // ---- Views.

  /// Cursors told before are of another epoch from now on. Whoever is attached must go.
  void begin_epoch(Bytes epoch) { epoch_ = std::move(epoch); }

  [[nodiscard]] Position head() const { return head_; }
  [[nodiscard]] const Bytes& epoch() const { return epoch_; }
  [[nodiscard]] const std::vector<Link>& links(DeviceIndex device) const;
  [[nodiscard]] const Link* find_link(DeviceIndex device, DeviceIndex peer) const;
  [[nodiscard]] bool edge(DeviceIndex a, DeviceIndex b) const;
  [[nodiscard]] std::optional<proto::RekeyCounter> counter_of(DeviceIndex device) const;
  [[nodiscard]] const RelayedDim* dim_of(DeviceIndex device) const;
  [[nodiscard]] const std::vector<Endpoint>& endpoints_of(DeviceIndex device) const;
  [[nodiscard]] const std::vector<policy::PrefixSpec>& prefixes_of(DeviceIndex device) const;
  [[nodiscard]] Position session_cursor(DeviceIndex device) const;  ///< told up to here
  [[nodiscard]] Position acknowledged_cursor(DeviceIndex device) const;
  [[nodiscard]] std::size_t backlog(DeviceIndex device) const;  ///< queue entries, stale included
  [[nodiscard]] const RelayStats& stats() const { return stats_; }

 private:
  struct QueueEntry {
    Position key = 0;
    DeviceIndex peer = 0;
  };
  struct Session {
    SessionId id;
    Position cursor = 0;
    std::deque<QueueEntry> queue;    ///< keys rise; valid while link.queued == key
    std::deque<QueueEntry> unacked;  ///< keys rise; valid while link.unacked == key
    std::vector<PendingPeer> pending;
    std::size_t snapshot_left = 0;
    bool snapshot = false;  ///< begin sent or due, end not sent
    bool snapshot_begun = false;
    bool greeting = true;  ///< one update is due even when nothing was missed
    bool revocations_due = false;
    bool woken = false;  ///< told by take_woken() or about to be, and not asked since
  };
  struct Device {
    std::optional<RelayedDim> dim;
    proto::RekeyCounter counter;
    Position dim_at = 0;
    std::vector<Endpoint> endpoints;
    Position endpoints_at = 0;
    std::vector<policy::PrefixSpec> prefixes;
    Position prefixes_at = 0;
    std::vector<Link> links;  ///< sorted by peer
    SharedOctets encoded[kPartsAll + 1];
    SharedOctets encoded_removal;
    std::unique_ptr<Session> session;
    SharedOctets settings_due;
    Position acknowledged = 0;
    // The last update that held this device's change alone, reusable by sessions in the same state.
    SharedOctets alone;
    Position alone_cursor = 0;
    std::uint8_t alone_parts = 0;
  };

  Device& at(DeviceIndex device);
  [[nodiscard]] const Device* get(DeviceIndex device) const;
  static Link* find(Device& device, DeviceIndex peer);
  [[nodiscard]] std::string full_name(DeviceIndex device) const;
  [[nodiscard]] Position position_for(const Link& link) const;
  void changed(DeviceIndex device, Position position, ChangePart part);
  void enqueue(Device& device, DeviceIndex index, Link& link, Position key);
  void wake(Device& device, DeviceIndex index);
  void touch(Device& device);
  [[nodiscard]] bool is_told(DeviceIndex a, DeviceIndex b) const;
  void awaken(const Device& device, Link& link, Timestamp now);
  void put_to_sleep(const Device& device, Link& link, Timestamp now);
  void awaken_held(DeviceIndex device, const std::vector<DeviceIndex>& held, Timestamp now);
  void tell_all(DeviceIndex device, Link& link, Position at, Timestamp now);
  [[nodiscard]] std::uint8_t parts_for(const Link& link, const Device& peer) const;
  SharedOctets encoded_change(DeviceIndex index, const Link& link, std::uint8_t parts);
  void mark_acknowledged(DeviceIndex device, Link& link, Timestamp now);
  [[nodiscard]] bool missing(const Link& link) const;
  static void compact(std::deque<QueueEntry>& queue, std::size_t bound, const Device& device,
                      Position Link::*field);

  std::shared_ptr<policy::DeviceNames> names_;
  std::string mesh_name_;
  Bytes epoch_;
  Position head_;
  std::vector<Device> devices_;
  std::set<EdgePolicy> policies_;  ///< that edges point at
  SharedOctets revocations_;
  std::vector<DeviceIndex> woken_;
  std::vector<std::pair<DeviceIndex, DeviceIndex>> wanted_;
  Marks marks_;
  RelayStats stats_;
  // Scratch of next_update(), empty between calls.
  std::vector<SharedOctets> changes_;
  std::vector<Link*> told_;
  OctetPool pool_;  ///< for whole updates
};

}  // namespace cygnet::controller
