# SPDX-License-Identifier: Apache-2.0
"""Measurements between a tunnel's two ends. Each returns numbers of one run; medians are the caller's."""
import concurrent.futures
import json
import os
import re
import statistics
import time

from lab import LabError

LOSS_MAX = 0.005
TICK = os.sysconf("SC_CLK_TCK")


class Ends:
    """Runs iperf3 between a tunnel's namespaces."""

    def __init__(self, lab, tunnel, seconds):
        self.lab, self.tunnel, self.seconds = lab, tunnel, seconds
        self.server = lab.start(f"{tunnel.tag}-iperf3", ["iperf3", "-s", "--forceflush"], ns=tunnel.server)
        lab.wait("iperf3's server", lambda: "listening" in self.server.tail(), 10)

    def iperf(self, *args):
        done = self.lab.run(["ip", "netns", "exec", self.tunnel.client, "iperf3", "-J", "-c", self.tunnel.address,
                             "-t", str(self.seconds), *map(str, args)], check=False)
        result = json.loads(done.stdout)
        if "error" in result:
            # The server is busy for a moment after a client that was cut off.
            time.sleep(0.5)
            done = self.lab.run(["ip", "netns", "exec", self.tunnel.client, "iperf3", "-J", "-c", self.tunnel.address,
                                 "-t", str(self.seconds), *map(str, args)])
            result = json.loads(done.stdout)
        return result["end"]

    def cpu_seconds(self):
        total = 0
        for pid in self.tunnel.pids:
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def tcp(self, flows):
        before = self.cpu_seconds()
        end = self.iperf("-P", flows, "-O", 1)
        cpu = self.cpu_seconds() - before
        gbit = end["sum_received"]["bits_per_second"] / 1e9
        # The omitted second costs as much as the others.
        return {"gbit_s": gbit, "cpu_s_per_gbit": cpu / (gbit * (self.seconds + 1)) if self.tunnel.pids else 0.0}

    def rekeyed(self, times=4):
        """TCP at full speed while both ends rekey again and again: how deep the worst second is below
        the median one, beside the same without rekeys, and what was lost."""
        def worst(end):
            seconds = [i["sum"]["bits_per_second"] for i in end[1:]]
            return 1 - min(seconds) / statistics.median(seconds)

        duration = 2 * times + 2
        calm = worst(self.intervals(duration))
        lost, before = self.tunnel.lost(), self.tunnel.generations()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.intervals, duration)
            for _ in range(times):
                time.sleep(2)
                self.tunnel.rekey()
            busy = worst(running.result())
        if any(a == b for a, b in zip(before, self.tunnel.generations())):
            raise LabError("an end did not rekey")
        return {"worst_second": busy, "worst_second_calm": calm, "lost": self.tunnel.lost() - lost, "rekeys": times}

    def intervals(self, seconds):
        done = self.lab.run(["ip", "netns", "exec", self.tunnel.client, "iperf3", "-J", "-i", "1", "-c",
                             self.tunnel.address, "-t", str(seconds)])
        return json.loads(done.stdout)["intervals"]

    def udp(self, octets, start_pps):
        """Highest rate with at most LOSS_MAX lost: upwards by half until it is too much, then halving the gap."""
        good, bad, rate = 0.0, None, start_pps
        for _ in range(9):
            end = self.iperf("-u", "-l", octets, "-b", int(rate * octets * 8))
            s = end["sum"]
            # What iperf3 itself could not send is no loss, and no rate.
            sent = s["packets"] / s["seconds"]
            if s["lost_packets"] <= LOSS_MAX * s["packets"]:
                good = max(good, sent)
                if sent < 0.9 * rate:
                    break
                rate = rate * 1.5 if bad is None else (rate + bad) / 2
            else:
                bad = rate
                rate = (good + rate) / 2 if good else rate / 2
            if bad is not None and good and (bad - good) / good < 0.06:
                break
        return {"pps": good, "gbit_s": good * octets * 8 / 1e9}

    def round_trip(self, count=300):
        done = self.lab.run(["ip", "netns", "exec", self.tunnel.client, "ping", "-i", "0.005", "-c", str(count),
                             self.tunnel.address])
        times = [float(t) for t in re.findall(r"time=([0-9.]+) ms", done.stdout)]
        return {"median_us": statistics.median(times) * 1000, "answered": len(times), "asked": count}

    def memory_kib(self):
        total = 0
        for pid in self.tunnel.pids:
            with open(f"/proc/{pid}/status") as f:
                total += int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
        return total
