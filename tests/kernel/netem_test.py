# SPDX-License-Identifier: Apache-2.0
"""Loss, delay, reordering and duplication on the underlay (netem), rekeys under them, and every packet accounted for."""
import collections
import json
import time

from traffic import TrafficTest, counted_length, esp_of

ESP_BAND, REST_BAND = "1:3", "1:2"
# Wider than the time between two datagrams of a direction: many arrive in another order.
JITTER = ["delay", "30ms", "28ms"]


class Netem(TrafficTest):
    tcp_mbit = 0   # what TCP repeats cannot be counted by sequence number

    def setUp(self):
        super().setUp()
        self.rest = None
        self.start_mesh()
        for device in self.mesh.devices:
            self.capture_wire(device)
            # Towards the device: ESP in one band, so that its losses can be told from the controller's TCP and ARP,
            # and from its answers to discovery, which come to the ESP port too, behind four octets of zero.
            link = f"to-{device.name}"
            self.tc("qdisc", "add", "dev", link, "root", "handle", "1:", "prio", "bands", "3", "priomap", *["1"] * 16)
            self.netem(link, ESP_BAND)
            port = ["protocol", "ip", "u32", "match", "ip", "protocol", "17", "0xff", "match", "ip", "dport", "4500", "0xffff"]
            add = ["filter", "add", "dev", link, "parent", "1:"]
            self.tc(*add, "prio", "1", *port, "match", "u32", "0", "0xffffffff", "at", "28", "flowid", REST_BAND)
            self.tc(*add, "prio", "2", *port, "flowid", ESP_BAND)
        for device in self.mesh.devices:
            self.start_device(device)
        self.await_settled()
        self.await_traffic()

    def tc(self, *args):
        return self.lab.run(["tc", "-n", self.mesh.router, *args]).stdout

    def netem(self, link, band, *what):
        self.tc("qdisc", "replace", "dev", link, "parent", band, "handle", {ESP_BAND: "30:", REST_BAND: "20:"}[band], "netem",
                "limit", "10000", *what)

    def disturb(self, *esp, rest=None):
        """Of the rest only when asked: the kernel refuses a netem that duplicates beside another one."""
        self.rest = rest or self.rest
        for device in self.mesh.devices:
            self.netem(f"to-{device.name}", ESP_BAND, *(esp or ["delay", "0ms"]))
            if self.rest:
                self.netem(f"to-{device.name}", REST_BAND, *(rest or ["delay", "0ms"]))

    def netem_dropped(self):
        """Packets that netem dropped of the ESP."""
        total = 0
        for device in self.mesh.devices:
            for row in json.loads(self.tc("-s", "-j", "qdisc", "show", "dev", f"to-{device.name}")):
                if row["kind"] == "netem" and row["parent"] == ESP_BAND:
                    total += row["drops"]
        return total

    def await_traffic(self):
        """A hundred more packets have come to every device."""
        def received():
            return [json.loads(self.lab.ip(d.ns, "-s", "-j", "link", "show", "up0").stdout)[0]["stats64"]["rx"]["packets"]
                    for d in self.mesh.devices]

        before = received()
        self.lab.wait("traffic on every link", lambda: all(b - a >= 100 for a, b in zip(before, received())), 30,
                      watch=[p for _, p in self.traffic])

    def rekeys(self):
        before = self.phases.counters()
        self.mesh.cygnet("rekey", "d1")
        self.phases.await_rekeyed(before, ["d1"])
        before = self.phases.counters()
        self.mesh.cygnet("rekey", "--all")
        self.phases.await_rekeyed(before, [d.name for d in self.mesh.devices])
        self.await_traffic()

    def conclude(self, from_ns):
        """Ends traffic and captures; returns (lost, sent, duplicated for the user, ESP missing, ESP twice, out of order)."""
        self.disturb()
        until_ns = time.monotonic_ns()
        self.await_traffic()
        logs = self.stop_traffic()
        self.dropped = self.drops()
        # Silent before the captures end one after the other: a probe between two ends would look lost.
        for device in self.mesh.devices:
            device.agent.stop()
        for device in self.mesh.devices:
            self.await_written(device)
        for _, process in self.wires.values():
            self.stop_capture(process)
        lost = sent = duplicated = 0
        for (source, target), d in self.directions(logs).items():
            duplicated += d.duplicated
            # The last datagrams before the end may have found the receiver gone.
            ends = max(d.arrived, default=0)
            for time_ns, seq, refused in d.sent:
                if seq > ends or time_ns < from_ns:
                    continue
                self.assertFalse(refused, (source, target, seq))
                sent += 1
                if seq not in d.arrived:
                    lost += 1
                    self.assertTrue(from_ns <= time_ns < until_ns, f"{source} to {target}: {seq} lost outside the disturbance")
        return (lost, sent, duplicated, *self.on_the_wires())

    def on_the_wires(self):
        went, came = collections.Counter(), {}
        disorder = 0
        for name, (path, _) in self.wires.items():
            own = next(d for d in self.mesh.devices if d.name == name).endpoint.split(":")[0]
            own = bytes(int(x) for x in own.split("."))
            highest = {}
            for source, target, spi, sequence, length in esp_of(path):
                if source == own:
                    went[target, spi, sequence, length] += 1
                else:
                    came.setdefault((target, spi, sequence, length), 0)
                    came[target, spi, sequence, length] += 1
                    disorder += sequence < highest.get(spi, 0)
                    highest[spi] = max(sequence, highest.get(spi, 0))
        self.assertEqual(set(went.values()), {1}, "a sender repeated an SPI and a sequence number")
        self.assertEqual(sorted(came.keys() - went.keys())[:5], [], "ESP arrived that nobody sent")
        missing = [key for key in went if key not in came]
        twice = sum(n - 1 for n in came.values())
        return missing, twice, disorder

    def test_only_what_netem_lost_is_lost_and_rekeys_complete_under_it(self):
        drops = self.drops()
        from_ns = time.monotonic_ns()
        lossy = ["loss", "3%", *JITTER]
        self.disturb(*lossy, rest=lossy)
        self.rekeys()
        lost, sent, duplicated, missing, twice, disorder = self.conclude(from_ns)
        print(f"sent {sent}, lost {lost}; ESP: netem dropped {self.netem_dropped()}, missing {len(missing)}, out of order {disorder}")
        self.assertGreater(lost, 10)
        self.assertGreater(disorder, 10)
        self.assertEqual(len(missing), self.netem_dropped(), "ESP was lost that netem did not drop")
        counted = {counted_length(v6) for v6 in (False, True)}
        self.assertEqual(lost, sum(1 for *_, length in missing if length in counted), "a datagram was lost that no lost ESP carried")
        self.assertEqual((duplicated, twice), (0, 0))
        self.assertEqual(self.new_drops(drops, self.dropped), {}, "reordering or loss made the data plane drop packets")

    def test_duplicates_are_dropped_as_replays_each_one_and_nothing_else(self):
        drops = self.drops()
        from_ns = time.monotonic_ns()
        self.disturb("duplicate", "5%", *JITTER)
        self.rekeys()
        lost, sent, duplicated, missing, twice, disorder = self.conclude(from_ns)
        print(f"sent {sent}, lost {lost}; ESP: twice {twice}, missing {len(missing)}, out of order {disorder}")
        self.assertGreater(twice, 10)
        self.assertGreater(disorder, 10)
        self.assertEqual((lost, duplicated, len(missing), self.netem_dropped()), (0, 0, 0, 0))
        self.assertEqual(self.new_drops(drops, self.dropped), {"replay": twice})
