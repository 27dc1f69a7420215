"""Splits divide an event into two parts and put it together again."""

from math import prod

import pytest
import torch

from flowbench.bijections.coupling import CouplingStack, make_coupling
from flowbench.bijections.splits import Split, alternate, plan
from flowbench.bijections.squeeze import Squeeze
from flowbench.conformance.perturb import perturb
from flowbench.errors import InputError
from flowbench.families.registry import create

CASES = [
    *[("half", (d,), r) for d in (2, 3, 7) for r in (0.1, 0.5, 0.8)],
    *[("parity", (d,), 0.5) for d in (2, 3, 8)],
    *[("half", shape, r) for shape in ((2, 3, 3), (5, 2, 4)) for r in (0.3, 0.5)],
    *[("channel", shape, r) for shape in ((2, 3, 3), (5, 2, 4)) for r in (0.3, 0.5)],
    *[("parity", shape, 0.5) for shape in ((1, 3, 3), (2, 3, 5), (2, 3, 4), (1, 1, 2))],
    *[("checkerboard", shape, 0.5) for shape in ((4, 1, 1), (8, 3, 5))],
]

every_case = pytest.mark.parametrize(("kind", "shape", "ratio"), CASES)


def numbered(shape: tuple[int, ...]) -> torch.Tensor:
    """Return two events whose coordinates are their own flattened index, and its negative."""
    index = torch.arange(prod(shape), dtype=torch.float64).reshape(1, *shape)
    return torch.cat((index, -index))


@every_case
def test_joining_undoes_the_division_and_every_coordinate_is_in_one_part(kind, shape, ratio):
    split, x = Split(kind, shape, ratio), numbered(shape)
    first, second = split.parts(x)
    assert (first.shape[1:], second.shape[1:]) == split.shapes
    assert torch.equal(split.join(first, second), x)
    found = torch.cat((first[0].flatten(), second[0].flatten())).sort().values
    assert torch.equal(found, x[0].flatten())


@every_case
def test_two_alternating_couplings_move_every_coordinate_once(kind, shape, ratio):
    x = torch.randn(3, *shape, dtype=torch.float64)
    moved = []
    for each in alternate(kind, shape, ratio, 2):
        torch.manual_seed(0)
        z = make_coupling("additive", each, (4,)).double().encode_map(x)
        moved.append((z != x).all(0))
    assert torch.equal(moved[0], ~moved[1])
    assert moved[0].any()
    assert moved[1].any()


def test_the_first_coupling_copies_the_first_half_or_the_even_indices():
    x = torch.arange(6.0)[None]
    for kind, copied in (("half", [0, 1, 2]), ("parity", [0, 2, 4])):
        first = alternate(kind, (6,), 0.5, 1)[0]
        z = make_coupling("additive", first, (4,)).encode_map(x)
        assert (z == x)[0].nonzero().flatten().tolist() == copied


@pytest.mark.parametrize(
    ("size", "ratio", "cut"), [(4, 0.5, 2), (3, 0.5, 2), (7, 0.3, 2), (5, 0.01, 1), (5, 0.99, 4)]
)
def test_a_ratio_is_the_first_parts_share_and_leaves_both_parts_something(size, ratio, cut):
    assert Split("half", (size,), ratio).shapes == ((cut,), (size - cut,))


def test_checkerboard_parts_are_the_colours_of_the_image_before_the_squeeze():
    height, width = 4, 6
    image = torch.zeros(1, 1, height, width)
    for i in range(height):
        for j in range(width):
            image[0, 0, i, j] = (i + j) % 2
    squeezed = Squeeze((1, height, width)).encode_map(image)
    white, black = Split("checkerboard", squeezed.shape[1:]).parts(squeezed)
    assert (white == 0).all()
    assert (black == 1).all()


def test_parity_of_an_image_is_its_flattened_index():
    for shape in ((2, 3, 4), (1, 3, 3), (3, 5, 2)):
        even = Split("parity", shape).parts(numbered(shape))[0][0].flatten()
        assert torch.equal(even, torch.arange(0, prod(shape), 2).double())


@pytest.mark.parametrize(
    ("kind", "shape", "ratio", "said"),
    [
        ("half", (1,), 0.5, "two coordinates or more, the data have one"),
        ("parity", (1, 1, 1), 0.5, "two coordinates or more"),
        ("checkerboard", (4,), 0.5, "needs images; allowed on vectors: half, parity"),
        ("channel", (4,), 0.5, "needs images"),
        ("checkerboard", (3, 5, 5), 0.5, "even height and width"),
        ("channel", (1, 5, 5), 0.5, "one channel; allowed: parity"),
        ("half", (1, 5, 5), 0.5, "one channel; allowed: parity"),
        ("parity", (4,), 0.3, "split_ratio = 0.3 needs half or channel"),
        ("checkerboard", (4, 2, 2), 0.3, "split_ratio = 0.3 needs half or channel"),
    ],
)
def test_what_cannot_be_divided_is_refused_in_a_sentence(kind, shape, ratio, said):
    with pytest.raises(InputError, match=said):
        Split(kind, shape, ratio)


def test_the_plan_of_a_squeezed_image_is_checkerboards_then_channels():
    kinds = [[each.kind for each in run] for run in plan(None, (4, 2, 2), 0.5, 5)]
    assert kinds == [["checkerboard"] * 3, ["channel"] * 2]
    assert [[e.kind for e in run] for run in plan(None, (4, 2, 2), 0.25, 2)] == [["half"] * 2]
    assert [[e.kind for e in run] for run in plan(None, (3, 5, 5), 0.5, 2)] == [["half"] * 2]
    assert [[e.kind for e in run] for run in plan(None, (5,), 0.5, 1)] == [["half"]]
    assert len(plan(None, (4, 2, 2), 0.5, 1)) == 1


@every_case
def test_a_stack_on_two_parts_is_its_couplings_one_after_the_other(kind, shape, ratio):
    torch.manual_seed(0)
    couplings = [
        make_coupling("affine", e, (6,)).double() for e in alternate(kind, shape, ratio, 3)
    ]
    with torch.no_grad():
        for coupling in couplings:
            for parameter in coupling.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    x = torch.randn(3, *shape, dtype=torch.float64)
    z, log_det = CouplingStack(couplings).encode(x)
    one_by_one, total = x, torch.zeros(3).double()
    for coupling in couplings:
        one_by_one, each = coupling.encode(one_by_one)
        total = total + each
    torch.testing.assert_close(z, one_by_one, rtol=0, atol=1e-12)
    torch.testing.assert_close(log_det, total, rtol=0, atol=1e-12)


def test_couplings_that_do_not_alternate_leave_the_first_part_where_it_is():
    torch.manual_seed(0)
    flow = create("realnvp", (6,), depth=4, hidden=(8,), alternate=False, learned_top=False)
    perturb(flow, 1.0)
    x, y = torch.randn(2, 5, 6)
    moved = flow.encode(torch.cat((x[:, :3], y[:, 3:]), 1))[0]
    assert torch.equal(moved[:, :3], flow.encode(x)[0][:, :3])
    assert not torch.isclose(moved[:, 3:], flow.encode(x)[0][:, 3:]).any()
    by_turns = [s.swap for run in plan("channel", (4, 2, 2), 0.5, 3) for s in run]
    fixed = [s.swap for run in plan(None, (4, 2, 2), 0.5, 4, alternating=False) for s in run]
    assert (by_turns, fixed) == ([False, True, False], [False] * 4)
