"""A sweep's question before it starts: do its keys belong to its families, is its data there?"""

import json
from typing import Any

from pydantic import BaseModel, ConfigDict

from flowbench.data.module import open_data
from flowbench.errors import InputError
from flowbench.families.registry import create, family_class
from flowbench.families.schema import resolve
from flowbench.spec.run import DataSpec


class Question(BaseModel):
    """What a sweep asks, see `flowbench.sweep.resolving`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    families: dict[str, list[dict[str, Any]]]
    """For each family configurations that between them hold every bound and choice once."""
    data: list[DataSpec]
    data_seed: int


def answer(text: str) -> str:
    """Return each family's keys, with the values fixed by the sweep or their defaults, as JSON.

    Every configuration is validated; the first of each family is also built for each data set,
    so that a family that cannot take the data is refused before anything starts.

    Raises:
        InputError: for the first mistake.
    """
    question = Question.model_validate_json(text)
    defaults = {}
    for name, configurations in question.families.items():
        family = family_class(name)
        try:
            resolved = [resolve(family, values) for values in configurations]
        except InputError as error:
            raise InputError(f"family {name}: {error}") from None
        defaults[name] = resolved[0]
    for spec in question.data:
        info = open_data(spec, question.data_seed).info
        for name, values in defaults.items():
            try:
                create(name, info.event_shape, context_size=info.context_size, **values)
            except InputError as error:
                raise InputError(f"family {name} on {info.name}: {error}") from None
    return json.dumps(defaults)
