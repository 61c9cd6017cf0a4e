# SPDX-License-Identifier: Apache-2.0
"""A Python device written from docs/protocol.md, with a real controller and a real agent.

Traffic is sequence-numbered and counted in both directions; nothing may be lost or come twice.
"""
import ipaddress
import json
import secrets
import unittest
import unittest.mock

import device_support
from pydevice import inner
from pydevice.errors import Refused
from pydevice.rekey import Rekey


class TrafficTest(device_support.PairTest):
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
            self.carry(flow, device_support.MANY)
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

    def test_the_agent_finds_what_the_path_carries_by_answered_probes(self):
        self.python.path_limit = 1338
        self.python.path_probes.clear()

        def found():
            self.python.send(inner.echo(ipaddress.ip_address(self.second.inner6),
                                        ipaddress.ip_address(self.real.inner6), 1, 1, b"traffic"))
            path = self.agent_peer("d2")["path_mtu"]
            return path if path and path["inner"] == 1338 and path["state"] == "found" else None
        self.loop.until("the path MTU", found, 60)
        self.assertLessEqual(max(self.python.path_probes), 1400)
        self.assertIn(1280, self.python.path_probes)
        self.assertIn(1400, self.python.path_probes)


class RekeyTest(device_support.PairTest):
    def test_the_device_rekeys_under_traffic(self):
        flow = self.flow(self.python, self.second)
        self.carry(flow, device_support.MANY // 2)
        self.roll_python()
        self.await_settled()
        self.carry(flow, device_support.MANY // 2)
        self.finish(flow)
        self.assertEqual(self.agent_pairs("d2"), {"a1-b2"})
        self.assertEqual(self.rekey.describe()["chosen"], "a2-b1")
        self.assertEqual([g.has_private for g in self.python.generations], [True])
        self.assertEqual(self.rekey.most_pairs, 2)

    def test_the_agent_rekeys_under_traffic(self):
        flow = self.flow(self.python, self.second)
        self.carry(flow, device_support.MANY // 2)
        self.roll_agent()
        self.await_settled()
        self.carry(flow, device_support.MANY // 2)
        self.finish(flow)
        self.assertEqual(self.agent_pairs("d2"), {"a2-b1"})
        self.assertEqual(self.rekey.most_pairs, 2)

    def test_both_rekey_at_once_under_traffic(self):
        flow = self.flow(self.python, self.second)
        self.carry(flow, device_support.MANY // 2)
        self.cross()
        self.await_settled()
        self.carry(flow, device_support.MANY // 2)
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
            self.carry(flow, device_support.MANY // 4)
            self.mesh.ctl("POST", "/api/v1/test/hold-relay", {})
            self.roll_python()
            self.carry(flow, device_support.MANY // 4)
            self.mesh.ctl("POST", "/api/v1/test/release-relay")
            self.carry(flow, device_support.MANY // 4)
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
        self.carry(flow, device_support.MANY // 2)
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
        self.carry(flow, device_support.MANY // 2)
        self.finish(flow)

    def test_a_pair_removed_and_allowed_again_makes_new_keys(self):
        made = set(self.rekey.made)
        self.apply(rules="[]")
        self.loop.until("the pair to go", lambda: not self.python.peers
                        and self.agent_peer("d2") is None)
        self.apply()
        self.loop.until("the pair to come back", lambda: "d1.demo" in self.python.peers)
        self.await_settled()
        self.assertFalse(made & set(self.rekey.pairs))  # a key is never made twice
        flow = self.flow(self.python, self.second)
        self.carry(flow, device_support.MANY // 2)
        self.finish(flow)

    def test_a_device_with_an_old_disk_learns_from_the_controller_that_it_is_old(self):
        old = dict(self.python.state.values)
        for _ in range(2):
            self.stop_python(self.python)
            self.python = self.start_python(self.second)
            self.await_settled()
        self.assertEqual(self.python.newest.counter >> 32, 3)
        self.stop_python(self.python)
        self.python.state.save(**old)
        self.python = self.start_python(self.second)
        self.await_settled()
        self.assertEqual(self.python.newest.counter, 4 << 32 | 1)
        self.assertEqual(self.python.alarms, ["own-dim-newer"])
        self.loop.until("the controller to hear of it", lambda: [
            e for e in self.mesh.ctl("GET", "/api/v1/events?limit=1000")["items"]
            if "own-dim-newer" in json.dumps(e) and e["device"] == "d2.demo"])


class JoinTest(device_support.DeviceTest):
    def test_one_token_joins_devices_under_their_own_names_and_no_other_key(self):
        self.start_controller(self.policy())
        made = self.mesh.ctl("POST", "/api/v1/tokens", {"labels": {"role": "site"}, "uses": 2})
        line = made["join_line"].split()[-1]
        self.assertIn("/-/", line)
        second = self.mesh.devices[1]
        for d, name in ((second, "d2"), (self.real, "d9")):
            leaf = self.join_python(d, "ed25519", line, name)
            self.assertEqual(leaf.name, f"{name}.demo")
        again = self.join_python(second, line=line, name="d2")  # the answer was lost: the same key
        self.assertEqual(again.name, "d2.demo")
        for token, code in ((line, "token-used"), (line.replace(line.split("/")[3], "0" * 64),
                                                   "token-unknown")):
            with self.assertRaises(Refused) as refusal:
                device_support.state.join(f"{self.lab.dir}/other", token, device_support.MESSAGES,
                                          place=self.place(second), name="d3")
            self.assertEqual(refusal.exception.code, code)
        lying = line[:-1] + ("0" if line[-1] != "0" else "1")
        with self.assertRaises(Refused) as refusal:  # another CA than the line's: nothing is sent
            device_support.state.join(f"{self.lab.dir}/third", lying, device_support.MESSAGES,
                                      place=self.place(second), name="d3")
        self.assertEqual(refusal.exception.code, "certificate-chain")


if __name__ == "__main__":
    unittest.main()
