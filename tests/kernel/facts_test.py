# SPDX-License-Identifier: Apache-2.0
"""What our backend relies on, asked of the kernel itself: no program of ours runs here.

Two namespaces, a - b, and a host behind b. The inner addresses also have routes in clear, so that
whatever is not protected is seen on the wire.
"""
import errno
import os
import select
import socket
import struct
import threading
import time
import unittest

import xfrm
from support import Lab
from xfrm import ACQUIRE, ALLOW, BLOCK, FWD, IN, NEWAE, OUT, UPDSA

A, B = "10.0.0.1", "10.0.0.2"
INNER_A, INNER_B, BEHIND_B = "10.1.0.1", "10.2.0.1", "10.2.1.2"
NET_A, NET_B = "10.1.0.0/16", "10.2.0.0/16"
PORT = 5000


class Facts(unittest.TestCase):
    def setUp(self):
        self.lab = Lab("cygfact")
        self.addCleanup(self.lab.close)
        self.a, self.b, self.c = (self.lab.namespace(n) for n in "abc")
        self.lab.veth(self.a, "w", [f"{A}/24"], self.b, "w", [f"{B}/24"])
        self.lab.veth(self.b, "in", ["10.2.1.1/24"], self.c, "in", [f"{BEHIND_B}/24"])
        self.lab.sysctl(self.b, "net.ipv4.ip_forward", 1)
        self.lab.ip(self.a, "addr", "add", f"{INNER_A}/32", "dev", "lo")
        self.lab.ip(self.b, "addr", "add", f"{INNER_B}/32", "dev", "lo")
        self.lab.ip(self.a, "route", "add", NET_B, "via", B, "src", INNER_A)
        self.lab.ip(self.b, "route", "add", NET_A, "via", A, "src", INNER_B)
        self.lab.ip(self.c, "route", "add", "default", "via", "10.2.1.1")
        self.xa, self.xb = self.closing(xfrm.Xfrm(self.a)), self.closing(xfrm.Xfrm(self.b))
        self.wire = self.closing(xfrm.Wire(self.a, "w"))
        self.sender = self.udp(self.a, INNER_A)
        self.receiver = self.udp(self.b, INNER_B, PORT)

    def closing(self, thing):
        self.addCleanup(thing.close)
        return thing

    def udp(self, namespace, host, port=0):
        with xfrm.inside(namespace):
            made = self.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        made.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)   # SO_RCVBUFFORCE: a test's losses are not the buffer's
        made.bind((host, port))
        return made

    # -- steps ---------------------------------------------------------------------------------
    def both_states(self, spi, reqid, **kw):
        for x in (self.xb, self.xa):
            x.state(A, B, spi, reqid, **kw)

    def protect_in(self, reqid=0):
        for direction in (IN, FWD):
            self.xb.policy(NET_A, NET_B, direction, xfrm.template(A, B, 0, reqid))

    def outbound(self, spi, reqid, **kw):
        self.xa.policy(NET_A, NET_B, OUT, xfrm.template(A, B, spi, reqid, **kw))

    def send(self, text=b"x", to=INNER_B):
        self.sender.sendto(text, (to, PORT))

    def arrives(self, text, seconds=2.0):
        """Whether exactly this datagram is the next one to arrive."""
        ready, _, _ = select.select([self.receiver], [], [], seconds)
        return bool(ready) and self.receiver.recv(4096) == text

    def silent(self):
        """Nothing comes to the receiver; what left, and why nothing came, the wire and the counters say."""
        ready, _, _ = select.select([self.receiver], [], [], 0.05)
        return not ready

    def raw_esp(self, packet):
        with xfrm.inside(self.a):
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, xfrm.ESP) as out:
                out.sendto(packet, (B, 0))

    def inner(self, text):
        return xfrm.ipv4_udp(INNER_A, INNER_B, 4000, PORT, text)

    def refuses(self, number, call, *args, **kw):
        with self.assertRaises(OSError) as caught:
            call(*args, **kw)
        self.assertEqual(caught.exception.errno, number, caught.exception)

    # -- outbound choice -----------------------------------------------------------------------
    def test_a_template_with_spi_and_reqid_uses_exactly_that_sa_whatever_was_installed_when(self):
        for spi in (0x300, 0x100, 0x200):
            self.both_states(spi, 7)
        self.protect_in()
        for spi in (0x100, 0x200, 0x300, 0x200):
            self.outbound(spi, 7)
            self.send(b"%x" % spi)
            self.assertTrue(self.arrives(b"%x" % spi))
            self.assertEqual(self.wire.sent(), ([spi], []))

    def test_an_spi_that_is_not_there_sends_nothing_and_falls_back_to_nothing(self):
        self.both_states(0x100, 7)
        self.protect_in()
        self.outbound(0x999, 7)
        self.send()
        self.assertTrue(self.silent())
        self.assertEqual(self.wire.sent(), ([], []))
        self.assertEqual(xfrm.counters(self.a), {"XfrmOutNoStates": 1})

    def test_another_reqid_in_the_template_refuses_the_packet(self):
        self.both_states(0x100, 7)
        self.outbound(0x100, 8)
        self.refuses(errno.EEXIST, self.send)
        self.assertEqual(self.wire.sent(), ([], []))

    def test_switching_the_policy_under_traffic_loses_nothing_and_leaves_the_old_sa_at_once(self):
        self.protect_in()
        spis = [0x1000 + i for i in range(40)]
        self.both_states(spis[0], 7)
        self.outbound(spis[0], 7)
        stop, sent = threading.Event(), []

        def traffic():
            while not stop.is_set():
                text = b"%d" % len(sent)
                self.send(text)
                sent.append(text)
                stop.wait(0.001)

        worker = threading.Thread(target=traffic)
        worker.start()
        try:
            for spi in spis[1:]:
                self.both_states(spi, 7)
                self.outbound(spi, 7)
                switched = len(sent)
                deadline = time.monotonic() + 10
                while len(sent) < switched + 3 and time.monotonic() < deadline:
                    stop.wait(0.001)
                # Of what has left since the answer, at most the packet that was on its way used the old one.
                seen, clear = self.wire.sent()
                self.assertEqual(clear, [])
                self.assertEqual(seen, sorted(seen))
                self.assertEqual(seen[-1], spi)
        finally:
            stop.set()
            worker.join()
        arrived = []
        while select.select([self.receiver], [], [], 0.2)[0]:
            arrived.append(self.receiver.recv(64))
        self.assertGreater(len(sent), 100)
        self.assertEqual(arrived, sent)
        self.assertEqual((xfrm.counters(self.a), xfrm.counters(self.b)), ({}, {}))

    def test_a_policy_before_its_sa_makes_a_larval_state_that_only_an_update_replaces(self):
        events = self.closing(xfrm.Events(self.a, xfrm.GROUP_ACQUIRE))
        self.xb.state(A, B, 0x100, 7)
        self.protect_in()
        self.outbound(0x100, 7)
        self.send()
        self.assertEqual([kind for kind, _ in events.within(2)], [ACQUIRE])
        self.refuses(errno.EEXIST, self.xa.state, A, B, 0x100, 7)
        self.xa.state(A, B, 0x100, 7, kind=UPDSA)
        self.send(b"y")
        self.assertTrue(self.arrives(b"y"))

    def test_a_second_inbound_sa_with_the_same_spi_is_refused(self):
        self.xb.state(A, B, 0x100, 7)
        self.refuses(errno.EEXIST, self.xb.state, "10.0.0.77", B, 0x100, 8)

    # -- first packet --------------------------------------------------------------------------
    def test_evidence_comes_with_the_first_authenticated_packet_and_with_nothing_else(self):
        events = self.closing(xfrm.Events(self.b, xfrm.GROUP_AEVENTS))
        # Armed when made: a state made without both attributes has a timer that still fires once, a second later.
        armed = xfrm.attribute(xfrm.A_REPLAY_THRESH, struct.pack("<I", 1)) + xfrm.attribute(xfrm.A_ETIMER_THRESH, struct.pack("<I", 0))
        self.xb.state(A, B, 0x100, 7, attributes=xfrm.gcm() + armed)
        self.protect_in()
        with self.subTest("a forged packet"):
            self.raw_esp(xfrm.build_esp(0x100, 5, self.inner(b"forged"), damage=True))
            self.assertEqual(events.within(0.3), [])
            seen = self.xb.get(B, 0x100)
            self.assertEqual((seen["packets"], seen["integrity_failed"]), (0, 1))
            self.assertNotEqual(seen["use_time"], 0, "if this is zero now, use_time could serve after all")
        with self.subTest("a dummy: authenticated, and still no user packet"):
            self.raw_esp(xfrm.build_esp(0x100, 6, b"", next_header=59))
            self.assertEqual(events.within(0.3), [])
            self.assertEqual(self.xb.get(B, 0x100)["packets"], 0)
        with self.subTest("the first real packet"):
            first = xfrm.build_esp(0x100, 7, self.inner(b"first"))
            self.raw_esp(first)
            (kind, body), = events.within(2)
            self.assertEqual(kind, NEWAE)
            self.assertEqual(struct.unpack_from(">I", body, 16)[0], 0x100)
            self.assertTrue(struct.unpack_from("<I", body, 40)[0] & xfrm.AE_CR)
            self.assertTrue(self.arrives(b"first"))
            self.assertEqual(self.xb.get(B, 0x100)["packets"], 1)
        with self.subTest("its replay"):
            self.raw_esp(first)
            self.assertEqual(events.within(0.3), [])
            self.assertEqual(self.xb.get(B, 0x100)["packets"], 1)
        with self.subTest("after disarming"):
            self.xb.thresholds(A, B, 0x100, 7, packets=0)
            events.within(0.1)
            self.raw_esp(xfrm.build_esp(0x100, 8, self.inner(b"second")))
            self.assertTrue(self.arrives(b"second"))
            self.assertEqual(events.within(0.3), [])
        self.assertEqual(xfrm.counters(self.b), {"XfrmInStateProtoError": 2, "XfrmInStateSeqError": 1})

    # -- failing closed ------------------------------------------------------------------------
    def test_flushing_the_states_sends_nothing_in_clear(self):
        self.both_states(0x100, 7)
        self.protect_in()
        self.outbound(0x100, 7)
        self.send(b"before")
        self.assertTrue(self.arrives(b"before"))
        self.assertEqual(self.wire.sent(), ([0x100], []))
        self.xa.flush_states()
        self.send(b"after")
        self.assertTrue(self.silent())
        self.assertEqual(self.wire.sent(), ([], []))
        self.assertEqual(xfrm.counters(self.a), {"XfrmOutNoStates": 1})

    def test_without_its_policy_a_packet_leaves_in_clear_and_a_wider_block_policy_stops_it(self):
        self.send(b"clear")
        self.assertTrue(self.arrives(b"clear"))
        self.assertEqual(self.wire.sent(), ([], [17]), "the wire must show what is not protected")
        self.xa.policy("10.0.0.0/8", "10.2.0.0/15", OUT, action=BLOCK, priority=100000)
        self.both_states(0x100, 7)
        self.protect_in()
        self.outbound(0x100, 7)
        self.send(b"protected")
        self.assertTrue(self.arrives(b"protected"))
        self.assertEqual(self.wire.sent(), ([0x100], []))
        self.xa.delete_policy(NET_A, NET_B, OUT)
        self.refuses(errno.EPERM, self.send)
        self.assertEqual(self.wire.sent(), ([], []))
        self.assertEqual(xfrm.counters(self.a), {"XfrmOutPolBlock": 1})

    def test_clear_text_is_refused_inbound_only_by_policies_in_and_fwd(self):
        with xfrm.inside(self.c):
            behind = self.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        behind.bind((BEHIND_B, PORT))

        def forwarded():
            self.send(b"f", to=BEHIND_B)
            ready, _, _ = select.select([behind], [], [], 0.3)
            return bool(ready) and behind.recv(64) == b"f"

        self.assertTrue(forwarded())
        self.xb.policy(NET_A, NET_B, IN, xfrm.template(A, B, 0, 0))
        self.send(b"in")
        self.assertTrue(self.silent())
        self.assertTrue(forwarded(), "an `in` policy alone does not close the way through")
        self.xb.policy(NET_A, NET_B, FWD, xfrm.template(A, B, 0, 0))
        self.assertFalse(forwarded())
        self.assertEqual(xfrm.counters(self.b), {"XfrmInTmplMismatch": 2})

    # -- what is offered -----------------------------------------------------------------------
    def test_replay_windows_up_to_4096_with_extended_numbers(self):
        self.protect_in()
        for i, window in enumerate((32, 64, 1024, 4096)):
            spi = 0x2000 + i
            self.both_states(spi, 7, attributes=xfrm.gcm() + xfrm.esn(window), flags=xfrm.STATE_ESN, window=0)
            self.outbound(spi, 7)
            self.send(b"%d" % window)
            self.assertTrue(self.arrives(b"%d" % window))
        for window in (0, 4097):
            self.refuses(errno.EINVAL, self.xb.state, A, B, 0x3000, 7, attributes=xfrm.gcm() + xfrm.esn(window),
                         flags=xfrm.STATE_ESN, window=0)

    def test_every_transform_that_a_proposal_can_name_carries_traffic(self):
        self.protect_in()

        def aead(name, length, icv):
            key = bytes(range(length))
            return xfrm.attribute(xfrm.A_ALG_AEAD, name.ljust(64, b"\0") + struct.pack("<II", length * 8, icv * 8) + key)

        def cbc(bits, digest, length, icv):
            key = bytes(range(bits // 8))
            mac = bytes(range(length))
            return (xfrm.attribute(xfrm.A_ALG_CRYPT, b"cbc(aes)".ljust(64, b"\0") + struct.pack("<I", bits) + key) +
                    xfrm.attribute(xfrm.A_ALG_AUTH_TRUNC, digest.ljust(64, b"\0") + struct.pack("<II", length * 8, icv * 8) + mac))

        suites = {"aes128gcm16": aead(b"rfc4106(gcm(aes))", 20, 16), "aes256gcm16": aead(b"rfc4106(gcm(aes))", 36, 16),
                  "chacha20poly1305": aead(b"rfc7539esp(chacha20,poly1305)", 36, 16),
                  "aes128-sha256": cbc(128, b"hmac(sha256)", 32, 16), "aes256-sha512": cbc(256, b"hmac(sha512)", 64, 32)}
        for i, (name, algorithm) in enumerate(suites.items()):
            with self.subTest(name):
                self.both_states(0x4000 + i, 7, attributes=algorithm + xfrm.esn(1024), flags=xfrm.STATE_ESN, window=0)
                self.outbound(0x4000 + i, 7)
                self.send(name.encode())
                self.assertTrue(self.arrives(name.encode()))

    # -- UDP encapsulation ---------------------------------------------------------------------
    def test_encapsulation_works_through_a_socket_where_the_packets_arrive_and_tells_a_moved_peer(self):
        events = self.closing(xfrm.Events(self.b, xfrm.GROUP_MAPPING))
        outer = self.udp(self.b, B, 4500)
        outer.setsockopt(socket.IPPROTO_UDP, 100, 2)   # UDP_ENCAP, UDP_ENCAP_ESPINUDP
        encap = xfrm.attribute(xfrm.A_ENCAP, struct.pack("<H", 2) + struct.pack(">HH", 4500, 4500) + bytes(18))
        self.both_states(0x100, 7, attributes=xfrm.gcm() + encap)
        self.protect_in()
        self.outbound(0x100, 7)
        self.send(b"encapsulated")
        self.assertTrue(self.arrives(b"encapsulated"))
        self.assertEqual(self.wire.sent(), ([0x100], []))
        self.assertEqual(events.within(0.2), [])
        moved = self.udp(self.a, A, 6666)
        with self.subTest("a forged packet from a new port is no hint"):
            moved.sendto(xfrm.build_esp(0x100, 50, self.inner(b"m"), damage=True), (B, 4500))
            self.assertEqual(events.within(0.3), [])
        with self.subTest("an authentic one is"):
            moved.sendto(xfrm.build_esp(0x100, 51, self.inner(b"moved")), (B, 4500))
            self.assertEqual([kind for kind, _ in events.within(2)], [xfrm.MAPPING])
            self.assertTrue(self.arrives(b"moved"))
        with self.subTest("a peer cannot mix plain and encapsulated"):
            self.raw_esp(xfrm.build_esp(0x100, 52, self.inner(b"plain")))
            self.assertTrue(self.silent())
            self.assertEqual(xfrm.counters(self.b).get("XfrmInStateMismatch"), 1)

    def test_an_xfrm_interface_can_be_made_where_the_kernel_has_them(self):
        done = self.lab.run(["ip", "-n", self.a, "link", "add", "x0", "type", "xfrm", "dev", "w", "if_id", "7"], check=False)
        if os.environ["CYGNET_KERNEL"] == "uml":
            self.assertIn("Unknown device type", done.stderr)
        else:
            self.assertEqual(done.returncode, 0, done.stderr)
