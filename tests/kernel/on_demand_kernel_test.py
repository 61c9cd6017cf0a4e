# SPDX-License-Identifier: Apache-2.0
"""On-demand pairs where the kernel holds the first packet and asks for SAs: the cases of tests/e2e/on_demand_test.py."""
import on_demand_test


class OnDemandKernel(on_demand_test.OnDemand):
    data_planes = "kernel"


class OnDemandMixed(on_demand_test.OnDemand):
    data_planes = "mixed"
