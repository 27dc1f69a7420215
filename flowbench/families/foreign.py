"""A user's own flow under the contract of a family."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from math import prod
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from flowbench.bijections.base import Bijection
from flowbench.bijections.preprocess import PreprocessSteps
from flowbench.errors import InputError
from flowbench.families.bases import NormalBase
from flowbench.families.flow import Flow
from flowbench.families.schema import Constructor, constructor
from flowbench.spec.vocabulary import InverseLabel, LogDetLabel


class ForeignBijection(Bijection):
    """A module's own `encode` and `decode` as a layer; what they return is checked.

    Args:
        module: the user's, in flow coordinates.
        event_shape: of its data; latents are ``(N, D)``.
        takes_context: whether its methods are given one.
    """

    def __init__(
        self, module: nn.Module, event_shape: tuple[int, ...], takes_context: bool
    ) -> None:
        super().__init__()
        self.module = module
        self.event_shape = event_shape
        self.dim = prod(event_shape)
        self.takes_context = takes_context

    @property
    def log_det_label(self) -> LogDetLabel:
        label: LogDetLabel = getattr(self.module, "log_det_label", "exact")
        return label

    @property
    def inverse_label(self) -> InverseLabel:
        label: InverseLabel = getattr(self.module, "inverse_label", "analytic")
        return label

    def encode(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.pair("encode", x, context, (len(x), self.dim))

    def decode(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.pair("decode", z, context, (len(z), *self.event_shape))

    def encode_map(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if not self.has("encode_map"):
            return self.encode(x, context)[0]
        return self.tensor("encode_map", x, context, (len(x), self.dim))

    def decode_map(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        if not self.has("decode_map"):
            return self.decode(z, context)[0]
        return self.tensor("decode_map", z, context, (len(z), *self.event_shape))

    def initialise(self, x: Tensor, context: Tensor | None = None) -> None:
        if self.has("initialise"):
            self.call("initialise", x, context)

    def after_step(self) -> None:
        if self.has("after_step"):
            self.call("after_step")

    def key_noise(self, seed: int, step: int, rows: Tensor) -> None:
        if self.has("key_noise"):
            self.call("key_noise", seed=seed, step=step, rows=rows)

    def has(self, method: str) -> bool:
        """Whether the module offers a method."""
        return callable(getattr(self.module, method, None))

    def arguments(self, method: str) -> set[str]:
        """Return the names of a method's arguments, none for one that is not there."""
        found = getattr(self.module, method, None)
        return set(inspect.signature(found).parameters) if callable(found) else set()

    def call(
        self,
        method: str,
        argument: Tensor | int | None = None,
        context: Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Call a method of the module.

        Raises:
            InputError: if it has none of this name.
        """
        if not self.has(method):
            raise InputError(f"family {type(self.module).__name__} has no method {method}")
        arguments = () if argument is None else (argument,)
        given = {} if context is None else {"context": context}
        return getattr(self.module, method)(*arguments, **given, **options)

    def tensor(
        self,
        method: str,
        argument: Tensor | int,
        context: Tensor | None,
        shape: tuple[int, ...],
        **options: Any,
    ) -> Tensor:
        """Call a method that returns a tensor of `shape`."""
        return self._expected(method, self.call(method, argument, context, **options), shape)

    def pair(
        self, method: str, argument: Tensor | int, context: Tensor | None, shape: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Call a method that returns a tensor of `shape` and one number a sample."""
        result = self.call(method, argument, context)
        if not isinstance(result, tuple) or len(result) != 2:
            self._refuse(method, type(result).__name__, "two tensors")
        first = self._expected(method, result[0], shape)
        return first, self._expected(method, result[1], shape[:1])

    def _expected(self, method: str, result: Any, shape: tuple[int, ...]) -> Tensor:
        if not isinstance(result, Tensor):
            self._refuse(method, type(result).__name__, f"a tensor of shape {shape}")
        if result.shape != shape:
            self._refuse(method, f"shape {tuple(result.shape)}", f"{shape}")
        return result

    def _refuse(self, method: str, given: str, expected: str) -> NoReturn:
        name = type(self.module).__name__
        raise InputError(f"family {name}: its {method} gave {given}; {expected} expected")


class ForeignFlow(Flow):
    """Any module with `log_prob` and `sample`, measured, trained and saved like a family.

    Its constructor, or the function that makes it, is given `event_shape` and `context_size` where
    it has arguments of these names, beside its own. It lives in flow coordinates: the preprocessing
    is applied around it, with its log-determinant. Its methods are

    * ``log_prob(x) -> (N,)``, in nats, and ``sample(n) -> (n, *event_shape)``;
    * where it has them ``encode(x) -> (z, log_det)`` and ``decode(z) -> (x, log_det)`` with latents
      ``(N, D)``, ``encode_map(x)``, ``decode_map(z)``, ``rsample(n)``, ``sample_and_log_prob(n)``,
      ``initialise(x)``, ``after_step()``, ``key_noise(seed, step, rows)`` and the labels
      `log_det_label` and `inverse_label` (else `exact` and `analytic`).

    Those that take data, latents or n take ``context=`` too where `context_size` is not 0;
    `sample` and `rsample` may take ``temperature=`` and ``generator=``. What a module lacks is not
    measured.

    Args:
        family: the class or function.
        event_shape: ``(D,)`` or ``(C, H, W)``.
        preprocess: see `Flow`.
        context_size: number of context features.
        hyperparameters: its other arguments.

    Raises:
        InputError: if what is made has no `log_prob` or `sample`, or takes no context.
    """

    flow: ForeignBijection

    def __init__(
        self,
        family: Constructor,
        event_shape: tuple[int, ...],
        *,
        preprocess: Bijection | PreprocessSteps | None = None,
        context_size: int = 0,
        **hyperparameters: Any,
    ) -> None:
        name = getattr(family, "__name__", type(family).__name__)
        takes = inspect.signature(constructor(family)).parameters
        if context_size and "context_size" not in takes:
            raise InputError(f"family {name} takes no context")
        shape = tuple(event_shape)
        of_data = {"event_shape": shape, "context_size": context_size, "preprocess": None}
        given = {key: value for key, value in of_data.items() if key in takes}
        module = family(**given, **hyperparameters)
        for method in ("log_prob", "sample"):
            if not callable(getattr(module, method, None)):
                raise InputError(f"family {name} has no method {method}")
        super().__init__(
            shape,
            ForeignBijection(module, shape, context_size > 0),
            NormalBase(prod(shape)),
            preprocess=preprocess,
            context_size=context_size,
        )
        self.can_encode = self.flow.has("encode")
        self.can_decode = self.flow.has("decode")

    def log_prob_terms(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the module's own log-density and the preprocessing's log-det, each ``(N,)``."""
        context = self._checked(context, len(x))
        y, log_det = self.preprocess.encode(x)
        return self.flow.tensor("log_prob", y, context, (len(x),)), log_det

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw by the module's own `sample`; see `Flow.sample`.

        Where it takes no `generator` it draws from torch's, seeded from the given one.

        Raises:
            InputError: for a temperature, where it takes none.
        """
        return self._drawn("sample", n, context, temperature, generator)

    def rsample(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw by the module's own `rsample`; see `sample`."""
        return self._drawn("rsample", n, context, temperature, generator)

    @torch.no_grad()
    def sample_and_log_prob(
        self,
        n: int,
        context: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Draw samples and their log-densities, by the module's own method where it has one."""
        if not self.flow.has("sample_and_log_prob"):
            x = self.sample(n, context, generator=generator)
            return x, self.log_prob(x, context)
        context = self._checked(context, n)
        with _seeded(generator):
            y, log_prob = self.flow.pair("sample_and_log_prob", n, context, (n, *self.event_shape))
        x, log_det = self.preprocess.decode(y)
        return x, log_prob - log_det

    def _drawn(
        self,
        method: str,
        n: int,
        context: Tensor | None,
        temperature: float,
        generator: torch.Generator | None,
    ) -> Tensor:
        context = self._checked(context, n)
        takes = self.flow.arguments(method)
        options: dict[str, Any] = {}
        if "temperature" in takes:
            options["temperature"] = temperature
        elif temperature != 1.0:
            name = type(self.flow.module).__name__
            raise InputError(f"family {name}: its {method} takes no temperature")
        if "generator" in takes:
            options["generator"] = generator
        with nullcontext() if "generator" in takes else _seeded(generator):
            y = self.flow.tensor(method, n, context, (n, *self.event_shape), **options)
        return self.preprocess.decode_map(y)


@contextmanager
def _seeded(generator: torch.Generator | None) -> Iterator[None]:
    """Seed torch's own generators from `generator` for a block, and restore them after it."""
    if generator is None:
        yield
        return
    with torch.random.fork_rng():
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        torch.manual_seed(int(seed))
        yield
