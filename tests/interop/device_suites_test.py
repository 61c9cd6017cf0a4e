# SPDX-License-Identifier: Apache-2.0
"""The Python device and a real agent under every kind of suite that policy can select.

Each cipher, integrity algorithm, group, PRF and kind of identity key at least once, with and without
extended sequence numbers, with lanes; each carries counted traffic through a crossed rekey.
"""
import socket
import unittest

import device_support
from pydevice import inner, proposals
from pydevice.dim import ENCR

HALF = device_support.MANY // 4


class SuiteTest(device_support.PairTest):
    def setUp(self):
        device_support.DeviceTest.setUp(self)  # each test says how its pair is started

    def start(self, words, key_kind="p256", lanes=1, **options):
        self.key_kind, self.options = key_kind, options
        self.start_pair(proposals=f"[{', '.join(words)}]", lanes=str(lanes))

    def crossed_rekey(self, suite, lanes=1):
        """Carries, rekeys both at once, carries; both ends are on the suite and nothing was lost."""
        flow = self.flow(self.python, self.second)
        self.carry(flow, HALF)
        self.cross()
        self.await_settled()
        self.carry(flow, HALF)
        self.finish(flow)
        pair = self.rekey.pairs[self.rekey.chosen]
        self.assertEqual(pair.suite, device_support.keymat.Suite.of(proposals.parse(suite)))
        self.assertEqual(len(pair.inbound), lanes)
        items = self.real.api("GET", "/api/v1/sa?peer=d2")["items"]
        self.assertEqual({i["pair"] for i in items}, {"a2-b2"})
        self.assertEqual({i["spi_in"] for i in items}, {f"{sa.spi:#010x}" for sa in pair.outbound})
        self.assertEqual({i["spi_out"] for i in items}, {f"{sa.spi:#010x}" for sa in pair.inbound})

    def one(self, suite, key_kind="p256", lanes=1):
        self.start([suite], key_kind, lanes)
        self.crossed_rekey(suite, lanes)

    def test_aes_gcm_256_x25519(self):
        self.one("aes256gcm16-x25519-sha256", lanes=4)

    def test_aes_gcm_128_p384_p384_identity(self):
        self.one("aes128gcm16-ecp384-sha384", "p384")

    def test_chacha20_poly1305_p256_ed25519_identity(self):
        self.one("chacha20poly1305-ecp256-sha256", "ed25519")

    def test_aes_cbc_256_modp_2048(self):
        self.one("aes256-sha256-modp2048-sha256", lanes=3)

    def test_aes_cbc_128_x448_without_extended_sequence_numbers(self):
        self.one("aes128-sha512-x448-sha512-noesn")

    def test_aes_cbc_256_sha384_modp_3072(self):
        self.one("aes256-sha384-modp3072-sha384")

    def test_aes_gcm_256_modp_4096_without_extended_sequence_numbers(self):
        self.one("aes256gcm16-modp4096-sha256-noesn")

    def test_chacha20_poly1305_p521(self):
        self.one("chacha20poly1305-ecp521-sha512")

    def test_a_device_that_cannot_do_the_first_proposal_gets_the_second(self):
        mesh = ["aes256gcm16-x25519-sha256", "aes128gcm16-ecp256-sha256",
                "chacha20poly1305-x25519-sha256"]
        self.start(mesh, offer=lambda offered: tuple(
            p for p in offered if p != proposals.parse(mesh[0])))
        self.crossed_rekey(mesh[1])

    def test_lanes_are_the_fewer_of_both(self):
        self.start(["aes256gcm16-x25519-sha256"], lanes=8)
        self.assertEqual(len(self.rekey.outbound), 8)
        self.stop_python(self.python)
        self.python = self.start_python(self.second, lanes=5)
        self.loop.until("five lanes", lambda: "d1.demo" in self.python.peers
                        and len(self.rekey.outbound) == 5)
        self.await_settled()
        pair = self.rekey.pairs[self.rekey.chosen]
        before = [sa.top for sa in pair.inbound], [sa.seq for sa in pair.outbound]
        arrived = self.python.counters["datagrams"]
        with device_support.in_namespace(self.real.ns):
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
                sender.bind((self.real.inner6, 0))
                for port in range(9000, 9064):  # as many flows
                    sender.sendto(b"flow", (self.second.inner6, port))
        self.loop.until("every flow", lambda: self.python.counters["datagrams"] == arrived + 64)
        for seq in range(64):  # the checksum is part of what makes a flow here
            self.python.send(inner.echo(self.python.mesh_address,
                                        self.python.peers["d1.demo"].mesh_address, 1, seq, b""))
        self.loop.until("every echo", lambda: all(self.python.echoes[1, s] for s in range(64)))
        for lane in range(5):
            self.assertGreater(pair.inbound[lane].top, before[0][lane], lane)
            self.assertGreater(pair.outbound[lane].seq, before[1][lane], lane)

    def test_the_mesh_moves_to_another_suite_under_traffic(self):
        old, new = "aes256-sha256-ecp256-sha256", "chacha20poly1305-x25519-sha256"
        self.start([old])
        flow = self.flow(self.python, self.second)
        flow.running = True
        for words, wanted in (([new, old], new), ([new], new)):
            before = self.python.newest.counter, max(self.rekey.remotes)
            self.apply(proposals=f"[{', '.join(words)}]")
            self.loop.until("both to make new keys", lambda: self.python.newest.counter > before[0]
                            and max(self.rekey.remotes) > before[1])
            self.await_settled()
            self.assertEqual(self.rekey.pairs[self.rekey.chosen].suite,
                             device_support.keymat.Suite.of(proposals.parse(wanted)))
        self.finish(flow)

    def test_nothing_in_common_is_reported_and_mended_by_the_next_dim(self):
        self.start(["aes256gcm16-x25519-sha256"])
        self.stop_python(self.python)
        foreign = (proposals.parse("aes128-sha256-ecp256-sha256"),)
        self.python = self.start_python(self.second, offer=lambda offered: foreign)
        self.loop.until("the agent to say so", lambda: self.agent_peer("d2")["state"] == "no-proposal")
        self.loop.until("the device to say so", lambda: self.python.counters["no-proposal-chosen"])
        self.assertEqual(self.rekey.pairs, {})
        self.python.offer = lambda offered: offered
        self.roll_python()
        self.await_settled()
        self.assertEqual(self.python.settings.proposals[0].of(ENCR).id, 20)


if __name__ == "__main__":
    unittest.main()
