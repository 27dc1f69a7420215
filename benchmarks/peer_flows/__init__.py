"""Flows of other libraries as their users build them, small enough for `flowbench check`.

Each public function of a module is a family (``benchmarks.peer_flows.zuko:maf``); where there is a
choice it takes the library's default.
"""

WIDTH = 8
"""Of hidden layers."""
