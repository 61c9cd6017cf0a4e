# SPDX-License-Identifier: Apache-2.0
"""A second device for a Cygnet mesh, written from docs/protocol.md alone.

It shares nothing with the C++ sources: where the two disagree, one of them or the document is wrong.
One module for each part of the document:

    dim        section 3.1, 3.2, the message and its signature
    checks     section 3.3, 3.4, what a receiver asks before it believes one
    proposals  section 4, proposals, negotiation, lanes
    groups     section 3.2, 5.1, Diffie-Hellman
    keymat     section 5, SPIs and keys
    rekey      section 6, generations, SA pairs, the outbound decision (pure; time is an argument)
    esp        section 8, ESP, padding, extended sequence numbers, the replay window
    inner      section 6.6, what travels inside: IPv4, IPv6, UDP, ICMP echo, probes
    identity   section 2, names, keys, certificates, the join line
    stream     section 7.1, 12, TLS, framing, the messages
    state      section 3.3, 7.6, settings, what is on disk, joining
    dataplane  section 8, datagrams in and out
    device     the device: sockets, and the rest of section 7

What it leaves out: PPKs, on-demand pairs, dormant pairs, certificate renewal, ECN, transport mode. It
derives keys at once instead of with the first packet.
"""
