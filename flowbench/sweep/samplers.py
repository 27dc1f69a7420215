"""Optuna's samplers as a sweep file names them, seeded anew for each trial."""

import warnings
from typing import TYPE_CHECKING

from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.seeds import derived_seed
from flowbench.sweep.space import trial_count

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


def startup_trials(sweep: SweepSpec, family: str) -> int:
    """Return how many trials come before those that a model chooses.

    Of few trials a third is spent at random; Optuna's ten would be all of them.
    """
    return max(2, min(10, trial_count(sweep, family) // 3))


def sampler(sweep: SweepSpec, family: str, label: str, number: int) -> "BaseSampler":
    """Return the sampler that draws one trial.

    Its seed depends on the sweep's seed, the search and the trial's number alone: a sweep of one
    slot gives the same trials each time, and after any interruption.

    Args:
        sweep: which sampler, and the seed.
        family: the search's family.
        label: the search's data set, as the sweep names it.
        number: the trial's number.
    """
    from optuna import samplers

    seed = derived_seed(sweep.seed, family, label, "sampler", number)
    match sweep.sampler:
        case "random" | "grid":
            return samplers.RandomSampler(seed=seed)
        case "qmc":
            # The sequence has one seed; Optuna counts the points taken in the study.
            sequence = derived_seed(sweep.seed, family, label, "sequence")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return samplers.QMCSampler(
                    scramble=True,
                    seed=sequence,
                    independent_sampler=samplers.RandomSampler(seed=seed),
                    warn_asynchronous_seeding=False,
                    warn_independent_sampling=False,
                )
        case "nsga2":
            population = max(4, min(50, trial_count(sweep, family) // 4))
            return samplers.NSGAIISampler(seed=seed, population_size=population)
        case "tpe":
            startup = startup_trials(sweep, family)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # `group` is marked experimental
                return samplers.TPESampler(
                    seed=seed, n_startup_trials=startup, multivariate=True, group=True
                )
