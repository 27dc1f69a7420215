"""How many operations a call takes, counted by torch as it runs."""

from collections.abc import Callable

from torch.utils.flop_counter import FlopCounterMode


def flops_of(call: Callable[[], object]) -> int:
    """Return the multiplications and additions of a call's matrix products and convolutions.

    A product of (m, k) and (k, n) counts 2 m k n. Elementwise work and factorisations do not
    count.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())
