from itertools import combinations, pairwise

import numpy as np
import pytest

from flowbench.data.splits import groups_of, join_groups, nested_share, row_keys, split_rows
from flowbench.errors import InputError


def _parts(index):
    return [index[split] for split in ("train", "validation", "test")]


def test_every_row_is_in_one_part_and_the_shares_are_80_10_10() -> None:
    index = split_rows(np.arange(1000), seed=0)
    assert [len(part) for part in _parts(index)] == [800, 100, 100]
    assert np.array_equal(np.sort(np.concatenate(_parts(index))), np.arange(1000))


def test_the_seed_decides_the_split() -> None:
    one, same, other = (split_rows(np.arange(1000), seed)["test"] for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert len(np.intersect1d(one, other)) < 40  # 10 by chance


def test_groups_stay_together_and_the_shares_hold() -> None:
    groups = np.random.default_rng(0).integers(0, 300, 5000)
    index = split_rows(groups, seed=3)
    seen = [set(groups[part]) for part in _parts(index)]
    assert all(not one & other for one, other in combinations(seen, 2))
    assert [len(part) for part in _parts(index)] == pytest.approx([4000, 500, 500], abs=40)


def test_too_few_groups_to_split_are_refused() -> None:
    with pytest.raises(InputError, match="200 rows in 2 groups are too few"):
        split_rows(np.repeat([0, 1], 100), seed=0)


def test_equal_rows_have_equal_keys_whatever_their_place_in_memory() -> None:
    x = np.random.default_rng(0).standard_normal((50, 2, 3))
    x[7], x[9] = x[3], -0.0
    x[11] = 0.0
    keys = row_keys(x)
    assert len(np.unique(keys)) == 48
    assert keys[7] == keys[3]
    assert keys[9] == keys[11]
    assert np.array_equal(row_keys(np.asfortranarray(x)), keys)


def test_joined_groups_are_the_chains_of_both() -> None:
    one = np.array([0, 0, 1, 2, 3, 4])
    other = np.array([5, 6, 6, 7, 8, 7])
    joined = join_groups(groups_of(one), groups_of(other))
    # Rows 0, 1 share a group of the first; 1, 2 one of the second; 3, 5 as well; 4 is alone.
    assert len(set(joined)) == 3
    assert joined[0] == joined[1] == joined[2]
    assert joined[3] == joined[5]


def test_a_smaller_share_lies_inside_a_larger_one() -> None:
    shares = [nested_share(1000, size, seed=4) for size in (10, 0.05, 0.5, 999, 1.0)]
    assert [len(share) for share in shares] == [10, 50, 500, 999, 1000]
    for smaller, larger in pairwise(shares):
        assert np.isin(smaller, larger).all()


def test_a_share_larger_than_the_split_is_refused() -> None:
    with pytest.raises(InputError, match=r"data.train_size = 1001: the training split has 1,000"):
        nested_share(1000, 1001, seed=0)
