# SPDX-License-Identifier: Apache-2.0
"""A Python device written from docs/protocol.md, with a real controller and a real agent.

Traffic is sequence-numbered and counted in both directions; nothing may be lost or come twice.
"""
import ipaddress
import secrets
import unittest
import unittest.mock

import device_support
from pydevice import inner
from pydevice.rekey import Rekey

SECOND = 200                    # datagrams a direction


class Pair(device_support.DeviceTest):
    """A settled pair: d1, the agent, and d2, in Python."""
    settings = {}
    key_kind = "p256"
    version = 6

    def setUp(self):
        super().setUp()
        self.start_pair(**self.settings)

    def start_pair(self, **settings):
        self.start_controller(self.policy(**settings))
        self.second = self.mesh.devices[1]
        self.mesh.join(self.real)
        self.mesh.start_agent(self.real)
        self.leaf = self.join_python(self.second, self.key_kind)
        self.python = self.start_python(self.second)
        self.await_settled()

    def await_settled(self, timeout=20):
        self.loop.until("the pair settled", lambda: self.settled(self.python, self.second), timeout,
                        lambda: str((self.rekey.describe(), dict(self.python.counters),
                                     self.agent_peer("d2"))))

    @property
    def rekey(self):
        return self.python.peers["d1.demo"].rekey

    def drops(self):
        """Every packet either end lost since it started, by name."""
        names = ("unknown-spi", "replay", "icv", "padding", "inner-source", "inner-destination",
                 "inner-version", "inner-length", "next-header", "no-route", "seq-overflow")
        return (self.real.api("GET", "/api/v1/status")["drops"],
                {n: self.python.counters[n] for n in names})

    def flow(self, *args, **options):
        made = super().flow(*args, **options)
        made.drops_before = self.drops()
        return made

    def carry(self, flow, packets):
        """That many more packets a direction."""
        goal = flow.sent + packets
        flow.running = True
        self.loop.until(f"{packets} packets to be sent", lambda: flow.sent >= goal, 60)

    def finish(self, flow):
        """Everything that was sent has arrived, once."""
        flow.running = False
        try:
            self.loop.until("the last packets", flow.whole, 5)
        except device_support.LabError:
            self.fail(f"lost {flow.lost()} of {flow.sent}: {dict(self.python.counters)} "
                      f"{self.rekey.describe()} {self.real.api('GET', '/api/v1/status')['drops']}")
        self.assertEqual(flow.duplicates(), (0, 0))
        self.assertEqual(self.drops(), flow.drops_before)

    def command(self, name, *command):
        """Runs a program beside the agent while the devices go on; its exit code and output."""
        process = self.lab.start(name, list(command), ns=self.real.ns)
        self.loop.until(name, lambda: not process.alive(), 30)
        return process.popen.returncode, process.tail(100)


class TrafficTest(Pair):
    def test_a_settled_pair_was_started_as_the_document_says(self):
        self.assertEqual(self.leaf.name, "d2.demo")
        self.assertTrue(self.python.results[0].accepted)
        self.assertEqual(self.python.newest.counter, 1 << 32 | 1)
        self.assertEqual(self.agent_pairs("d2"), {"a1-b1"})
        self.assertEqual(self.agent_peer("d2")["mesh_address"], str(self.python.mesh_address))
        self.loop.until("the answer of discovery", lambda: self.python.seen_endpoint)
        self.assertEqual(self.python.seen_endpoint, (self.second.endpoint.split(":")[0], 4500))
        self.loop.until("the controller to know that both have both", lambda: [
            p for p in self.mesh.ctl("GET", "/api/v1/pairs")["items"]
            if p["a_acknowledged_b"] and p["b_acknowledged_a"]])

    def test_counted_datagrams_of_both_families_arrive_in_both_directions(self):
        for version in (6, 4):
            flow = self.flow(self.python, self.second, version)
            self.carry(flow, SECOND)
            self.finish(flow)
            self.loop.parts.remove(flow)
            flow.close()

    def test_echo_inside_is_answered_by_the_agents_kernel(self):
        ident, data = secrets.randbelow(65536), secrets.token_bytes(1200)
        peer = self.python.peers["d1.demo"]
        for here, there in ((self.second.inner6, self.real.inner6),
                            (self.second.inner4, self.real.inner4),
                            (str(self.python.mesh_address), str(peer.mesh_address))):
            for seq in range(3):
                self.python.send(inner.echo(ipaddress.ip_address(here), ipaddress.ip_address(there),
                                            ident, seq, data))
            self.loop.until(f"three replies of {there}", lambda: all(
                self.python.echoes[ident, seq] == 1 for seq in range(3)))
            self.python.echoes.clear()

    def test_echo_of_the_agents_kernel_is_answered(self):
        for target in (self.second.inner6, self.second.inner4, str(self.python.mesh_address)):
            source = [] if target == str(self.python.mesh_address) else [
                "-I", self.real.inner6 if ":" in target else self.real.inner4]
            code, text = self.command("ping", "ping", "-n", "-c", "3", "-i", "0.05", "-W", "2",
                                      "-s", "1000", *source, target)
            self.assertEqual(code, 0, text)
            self.assertIn("3 received", text)

    def test_probes_are_answered_both_ways(self):
        before = self.python.counters["probe-requests"]
        code, text = self.command("cygnet-ping", f"{self.bin_dir}/cygnet", "--agent-socket",
                                  self.real.socket, "ping", "d2", "-c", "3", "--interval", "20ms")
        self.assertEqual(code, 0, text)
        self.assertEqual(self.python.counters["probe-requests"], before + 3)
        cookie = secrets.token_bytes(8)
        peer = self.python.peers["d1.demo"]
        self.python.send(inner.probe(self.python.mesh_address, peer.mesh_address,
                                     inner.PROBE_REQUEST, cookie))
        self.loop.until("the agent's answer", lambda: self.python.probe_replies[cookie] == 1)


class RekeyTest(Pair):
    def roll_python(self):
        before = self.python.newest.counter
        self.python.roll_over()
        self.loop.until("a new generation", lambda: self.python.newest.counter > before)

    def roll_agent(self):
        before = max(self.rekey.remotes)
        self.real.api("POST", "/api/v1/rekey")
        self.loop.until("the agent's new DIM", lambda: max(self.rekey.remotes) > before)

    def test_the_device_rekeys_under_traffic(self):
        flow = self.flow(self.python, self.second)
        self.carry(flow, SECOND // 2)
        self.roll_python()
        self.await_settled()
        self.carry(flow, SECOND // 2)
        self.finish(flow)
        self.assertEqual(self.agent_pairs("d2"), {"a1-b2"})
        self.assertEqual(self.rekey.describe()["chosen"], "a2-b1")
        self.assertEqual([g.has_private for g in self.python.generations], [True])
        self.assertEqual(self.rekey.most_pairs, 2)

    def test_the_agent_rekeys_under_traffic(self):
        flow = self.flow(self.python, self.second)
        self.carry(flow, SECOND // 2)
        self.roll_agent()
        self.await_settled()
        self.carry(flow, SECOND // 2)
        self.finish(flow)
        self.assertEqual(self.agent_pairs("d2"), {"a2-b1"})
        self.assertEqual(self.rekey.most_pairs, 2)

    def cross(self):
        """Both rekey, and neither hears of it before both have published."""
        before = self.python.newest.counter, max(self.rekey.remotes)
        self.mesh.ctl("POST", "/api/v1/test/hold-relay", {"publishes": 2})
        self.real.api("POST", "/api/v1/rekey")
        self.python.roll_over()
        self.loop.until("both DIMs to cross", lambda: self.python.newest.counter > before[0]
                        and max(self.rekey.remotes) > before[1])

    def test_both_rekey_at_once_under_traffic(self):
        flow = self.flow(self.python, self.second)
        self.carry(flow, SECOND // 2)
        self.cross()
        self.await_settled()
        self.carry(flow, SECOND // 2)
        self.finish(flow)
        self.assertEqual(self.agent_pairs("d2"), {"a2-b2"})
        self.assertEqual(self.rekey.most_pairs, 4)
        self.assertEqual(self.real.api("GET", "/api/v1/status")["sa_pairs_per_peer_max"], 4)

    def test_the_count_sees_a_device_that_moves_before_its_peer_is_ready(self):
        def rashly(rekey, own, now):
            keys = [k for k, p in rekey.pairs.items() if p.outbound]
            return rekey._choose(max(keys), now) if keys else False

        flow = self.flow(self.python, self.second)
        with unittest.mock.patch.object(Rekey, "decide", rashly):
            self.carry(flow, SECOND // 4)
            self.mesh.ctl("POST", "/api/v1/test/hold-relay", {})
            self.roll_python()
            self.carry(flow, SECOND // 4)
            self.mesh.ctl("POST", "/api/v1/test/release-relay")
            self.carry(flow, SECOND // 4)
            flow.running = False
            self.loop.until("what the agent's kernel sent", lambda: not flow.lost()[0])
        self.assertGreater(len(flow.lost()[1]), 0)
        self.assertGreater(self.drops()[0].get("unknown-spi", 0), 0)

    def test_many_rekeys_in_every_order_under_traffic(self):
        flow = self.flow(self.python, self.second, version=4)
        flow.running = True
        rounds = (self.roll_python, self.roll_agent, self.cross, self.roll_agent, self.cross,
                  self.roll_python)
        for step in rounds:
            step()
            self.await_settled()
        self.finish(flow)
        self.assertEqual(self.rekey.describe()["chosen"], "a5-b5")
        self.assertLessEqual(self.rekey.most_pairs, 4)

    def test_a_rekey_without_any_traffic_ends_by_probes(self):
        self.cross()
        self.await_settled()
        self.assertEqual(self.agent_pairs("d2"), {"a2-b2"})

    def test_the_controllers_order_to_rekey_is_followed(self):
        self.mesh.ctl("POST", "/api/v1/devices/d2/rekey")
        self.loop.until("a new generation", lambda: self.python.newest.counter == 1 << 32 | 2)
        self.await_settled()

    def test_a_device_that_lost_its_sas_starts_over(self):
        self.stop_python(self.python)
        self.python = self.start_python(self.second)
        self.loop.until("the second boot", lambda: self.python.newest
                        and self.python.newest.accepted_at)
        self.assertEqual(self.python.newest.counter, 2 << 32 | 1)
        self.await_settled()
        flow = self.flow(self.python, self.second)
        self.carry(flow, SECOND // 2)
        self.finish(flow)

    def test_an_agent_that_lost_its_sas_starts_over(self):
        before = max(self.rekey.remotes)
        self.real.agent.popen.kill()
        self.real.agent.popen.wait()
        self.mesh.start_agent(self.real)
        self.loop.until("the agent's initial contact", lambda: self.rekey.remotes
                        and max(self.rekey.remotes) > before)
        self.assertEqual(max(self.rekey.remotes) >> 32, 2)
        self.assertTrue(self.rekey.remotes[max(self.rekey.remotes)].dim.initial_contact)
        self.await_settled()
        flow = self.flow(self.python, self.second)
        self.carry(flow, SECOND // 2)
        self.finish(flow)


if __name__ == "__main__":
    unittest.main()
