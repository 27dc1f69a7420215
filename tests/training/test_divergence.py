from math import inf, nan

import pytest

from flowbench.training.divergence import EXPLOSION, Diverged, DivergenceWatch


@pytest.mark.parametrize("norm", [nan, inf])
def test_a_gradient_that_is_not_finite_ends_the_training(norm):
    with pytest.raises(Diverged, match=r"gradient is not finite at epoch 2, step 9"):
        DivergenceWatch().gradient(norm, 2, 9)


def test_a_loss_far_above_the_best_epochs_ends_the_training():
    watch = DivergenceWatch()
    watch.gradient(1e30, 1, 1)
    for loss in (3.0, 1.0, 1.0 + 0.99 * EXPLOSION):
        watch.epoch(loss, 1, 1)
    with pytest.raises(Diverged, match=r"the loss rose from 1 to 51\.5"):
        watch.epoch(51.5, 2, 7)
    with pytest.raises(Diverged, match="the loss is not finite"):
        watch.epoch(nan, 2, 7)
