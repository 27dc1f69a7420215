"""Two-dimensional densities whose true log-density is known, so that excess over it is exact.

Generators follow the definitions common in the flow literature (Grathwohl et al. 2019, "FFJORD";
Chen et al. 2019, "Residual flows"), with independent draws throughout: evenly spaced angles would
correlate the points of a batch. Entropies and floors are in nats, by quadrature.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e, logsumexp, ndtr

Points = NDArray[np.float64]

CHUNK = 4096
"""Points whose density is computed at once; bounds the memory of the quadratures."""


@dataclass(frozen=True)
class Density:
    """A density on the plane.

    Attributes:
        draw: ``(n, generator) -> (n, 2)``.
        exact_log_prob: ``(n, 2) -> (n,)``, nats.
        entropy: differential entropy in nats.
        volume_preserving_floor: the least excess in nats that any volume-preserving flow with a
            Gaussian base (NICE) can reach, ``1 + ln E_p[A(x)] - H``, A(x) the area where the
            density is at least p(x).
    """

    name: str
    draw: Callable[[int, np.random.Generator], Points]
    exact_log_prob: Callable[[Points], Points]
    entropy: float
    volume_preserving_floor: float

    def sample(self, n: int, seed: int) -> Points:
        """Draw ``(n, 2)`` independent points; the same for the same seed."""
        return self.draw(n, np.random.default_rng(seed))

    def log_prob(self, x: Points) -> Points:
        """Return the true log-density of ``(n, 2)`` points in nats, ``(n,)``."""
        parts = [self.exact_log_prob(x[i : i + CHUNK]) for i in range(0, len(x), CHUNK)]
        return np.concatenate(parts) if parts else np.empty(0)


def _unit(angle: Points) -> Points:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _mixture_log_prob(x: Points, centres: Points, sigma: float, log_weight: Points) -> Points:
    """Return the log-density of isotropic Gaussians at ``(k, 2)`` centres."""
    squares = ((x[:, None] - centres[None]) ** 2).sum(-1)
    return np.asarray(
        logsumexp(log_weight - squares / (2 * sigma**2), axis=1) - np.log(2 * np.pi * sigma**2)
    )


def _quadrature(low: float, high: float, nodes: int) -> tuple[Points, Points]:
    """Return Gauss-Legendre nodes and weights on [low, high]; the weights sum to one."""
    at, weight = np.polynomial.legendre.leggauss(nodes)
    return (high - low) / 2 * at + (high + low) / 2, weight / 2


# 8gaussians

_RADIUS, _SPREAD = 4 / 1.414, 0.5 / 1.414
_EIGHT = _RADIUS * _unit(np.arange(8) * np.pi / 4)


def _draw_eight(n: int, generator: np.random.Generator) -> Points:
    return _EIGHT[generator.integers(8, size=n)] + _SPREAD * generator.standard_normal((n, 2))


def _eight_log_prob(x: Points) -> Points:
    return _mixture_log_prob(x, _EIGHT, _SPREAD, np.full(8, -np.log(8)))


# checkerboard

_EDGE = 1e-6
"""Rounding to float32 may carry a point over a square's edge by this much."""


def _draw_checkerboard(n: int, generator: np.random.Generator) -> Points:
    first = generator.uniform(-2, 2, n)
    second = generator.uniform(0, 1, n) - 2 * generator.integers(2, size=n) + np.floor(first) % 2
    return 2 * np.stack([first, second], axis=1)


def _checkerboard_log_prob(x: Points) -> Points:
    inside = np.zeros(len(x), dtype=bool)
    for dx in (-_EDGE, _EDGE):
        for dy in (-_EDGE, _EDGE):
            u, v = (x[:, 0] + dx) / 2, (x[:, 1] + dy) / 2
            on_board = (np.abs(u) < 2) & (np.abs(v) < 2)
            inside |= on_board & ((np.floor(u) + np.floor(v)) % 2 == 0)
    return np.where(inside, -np.log(32), -np.inf)


# 2spirals

_TURN, _SQUARE, _BLUR = 3 * np.pi, 0.5 / 3, 0.1


def _spiral(n: Points) -> Points:
    return np.stack([-n * np.cos(n), n * np.sin(n)], axis=-1) / 3


def _draw_spirals(n: int, generator: np.random.Generator) -> Points:
    arm = _spiral(_TURN * np.sqrt(generator.uniform(size=n)))
    arm = arm + generator.uniform(0, _SQUARE, (n, 2))
    sign = 2 * generator.integers(2, size=(n, 1)) - 1
    return sign * arm + _BLUR * generator.standard_normal((n, 2))


_SPIRAL_AT, _SPIRAL_WEIGHT = _quadrature(0, _TURN, 300)
_SPIRAL_MASS = _SPIRAL_WEIGHT * 2 * _SPIRAL_AT / _TURN  # density of 3 pi sqrt(U)


def _spirals_log_prob(x: Points) -> Points:
    """Integrate along the arm the density of a square blurred by a Gaussian.

    Squares more than 12 deviations away, a share of exp(-72), are left out.
    """
    total = np.zeros(len(x))
    corner, side = _spiral(_SPIRAL_AT) / _BLUR, _SQUARE / _BLUR
    for sign in (1, -1):
        gap = sign * x[:, None] / _BLUR - corner[None]
        point, node = np.nonzero((np.abs(gap - side / 2) < 12 + side / 2).all(-1))
        near = gap[point, node]
        each = ((ndtr(near) - ndtr(near - side)) / _SQUARE).prod(-1) * _SPIRAL_MASS[node]
        total += 0.5 * np.bincount(point, each, minlength=len(x))
    return np.log(np.maximum(total, np.finfo(float).tiny))


# moons

_MOON_AT, _MOON_WEIGHT = _quadrature(0, np.pi, 80)


def _moons(t: Points) -> tuple[Points, Points]:
    upper = _unit(t)
    return upper, np.array([1.0, 0.5]) - upper


_MOON_CENTRES = 2 * np.concatenate(_moons(_MOON_AT)) - np.array([1.0, 0.2])
_MOON_LOG_WEIGHT = np.log(np.tile(_MOON_WEIGHT, 2) / 2)


def _draw_moons(n: int, generator: np.random.Generator) -> Points:
    upper, lower = _moons(generator.uniform(0, np.pi, n))
    p = np.where(generator.integers(2, size=(n, 1)) == 0, upper, lower)
    return np.asarray(2 * (p + 0.1 * generator.standard_normal((n, 2))) - np.array([1.0, 0.2]))


def _moons_log_prob(x: Points) -> Points:
    return _mixture_log_prob(x, _MOON_CENTRES, 0.2, _MOON_LOG_WEIGHT)


# circles and rings


def _draw_rings(
    radii: tuple[float, ...], sigma: float
) -> Callable[[int, np.random.Generator], Points]:
    def draw(n: int, generator: np.random.Generator) -> Points:
        radius = np.array(radii)[generator.integers(len(radii), size=n)]
        on_ring = radius[:, None] * _unit(generator.uniform(0, 2 * np.pi, n))
        return on_ring + sigma * generator.standard_normal((n, 2))

    return draw


def _rings_log_prob(radii: tuple[float, ...], sigma: float) -> Callable[[Points], Points]:
    """A ring blurred by a Gaussian: Rice's density in the radius, uniform in the angle."""

    def log_prob(x: Points) -> Points:
        distance = np.linalg.norm(x, axis=1)[:, None]
        ring = np.array(radii)
        log_bessel = np.log(i0e(distance * ring / sigma**2))
        each = log_bessel - (distance - ring) ** 2 / (2 * sigma**2)
        return np.asarray(
            logsumexp(each, axis=1) - np.log(len(radii)) - np.log(2 * np.pi * sigma**2)
        )

    return log_prob


# swissroll

_ROLL_AT, _ROLL_WEIGHT = _quadrature(1.5 * np.pi, 4.5 * np.pi, 200)
_ROLL_CENTRES = _ROLL_AT[:, None] * _unit(_ROLL_AT) / 5
_ROLL_LOG_WEIGHT = np.log(_ROLL_WEIGHT)


def _draw_swissroll(n: int, generator: np.random.Generator) -> Points:
    t = 1.5 * np.pi * (1 + 2 * generator.uniform(size=n))
    return np.asarray((t[:, None] * _unit(t) + generator.standard_normal((n, 2))) / 5)


def _swissroll_log_prob(x: Points) -> Points:
    return _mixture_log_prob(x, _ROLL_CENTRES, 0.2, _ROLL_LOG_WEIGHT)


# pinwheel

_ARMS, _ARC = 5, 2 * np.pi / 5
_PINWHEEL_GRID = np.linspace(-np.pi, np.pi, 721)


def _draw_pinwheel(n: int, generator: np.random.Generator) -> Points:
    r, s = 1 + 0.3 * generator.standard_normal(n), 0.1 * generator.standard_normal(n)
    turn = _ARC * generator.integers(_ARMS, size=n) + 0.25 * np.exp(r)
    c, d = np.cos(turn), np.sin(turn)
    return 2 * np.stack([c * r - d * s, d * r + c * s], axis=1)


def _pinwheel_log_prob(x: Points) -> Points:
    """Sum over every (arm, r, s) that lands on x.

    With y = x/2 = rho (cos phi, sin phi) and (r, s) = rho (cos a, sin a), the map is
    phi = a + exp(r)/4 + 2 pi k/5, so the roots a are where (a + exp(rho cos a)/4 - phi) / (2 pi/5)
    is a whole number. The map's Jacobian determinant is 1 - s exp(r)/4, the slope of that equation.
    """
    y = x / 2
    rho, phi = np.linalg.norm(y, axis=1), np.arctan2(y[:, 1], y[:, 0])
    a = _PINWHEEL_GRID
    turned = (a + 0.25 * np.exp(rho[:, None] * np.cos(a)) - phi[:, None]) / _ARC
    whole = np.floor(turned)
    point, cell = np.nonzero(whole[:, 1:] != whole[:, :-1])
    target = np.maximum(whole[point, cell], whole[point, cell + 1])
    low, high = a[cell], a[cell + 1]
    rises = turned[point, cell] < target
    for _ in range(48):  # halves a cell of 2 pi/720 down to rounding
        middle = (low + high) / 2
        value = (middle + 0.25 * np.exp(rho[point] * np.cos(middle)) - phi[point]) / _ARC
        left = (value < target) == rises
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    r, s = rho[point] * np.cos(low), rho[point] * np.sin(low)
    density = np.exp(-((r - 1) ** 2) / (2 * 0.3**2) - s**2 / (2 * 0.1**2)) / (2 * np.pi * 0.03)
    each = density / np.abs(1 - 0.25 * s * np.exp(r)) / (4 * _ARMS)
    total = np.bincount(point, each, minlength=len(x))
    return np.log(np.maximum(total, np.finfo(float).tiny))


_CIRCLES, _RINGS = (3.0, 1.5), (3.0, 2.25, 1.5, 0.75)

DENSITIES: dict[str, Density] = {
    density.name: density
    for density in (
        Density("8gaussians", _draw_eight, _eight_log_prob, 2.8319, 0.001),
        Density(
            "checkerboard", _draw_checkerboard, _checkerboard_log_prob, float(np.log(32)), 0.307
        ),
        Density("2spirals", _draw_spirals, _spirals_log_prob, 2.6454, 0.046),
        Density("moons", _draw_moons, _moons_log_prob, 2.3939, 0.036),
        Density(
            "circles", _draw_rings(_CIRCLES, 0.24), _rings_log_prob(_CIRCLES, 0.24), 3.2681, 0.029
        ),
        Density("rings", _draw_rings(_RINGS, 0.08), _rings_log_prob(_RINGS, 0.08), 2.6232, 0.030),
        Density("swissroll", _draw_swissroll, _swissroll_log_prob, 2.6696, 0.028),
        Density("pinwheel", _draw_pinwheel, _pinwheel_log_prob, 2.3178, 0.001),
    )
}
