"""Validation errors as one sentence: file, key, value and what is allowed."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from flowbench.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def validated(
    model: type[Model],
    raw: Mapping[str, object],
    section: str = "",
    where: Mapping[str, str] | None = None,
) -> Model:
    """Build `model` from raw values.

    Args:
        model: the specification.
        raw: what was read.
        section: dotted prefix of the keys in `raw`.
        where: for each dotted key the file or override it came from.

    Raises:
        InputError: for the first unknown key, wrong type or value out of range.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise input_error(error, model, section, where) from None


def input_error(
    error: ValidationError,
    model: type[BaseModel],
    section: str = "",
    where: Mapping[str, str] | None = None,
) -> InputError:
    """Turn pydantic's first complaint into a sentence for the person who wrote the file."""
    first = error.errors()[0]
    # In a union pydantic names the member that it tried, as `list[str]`: no key of the file's.
    path = [str(part) for part in first["loc"] if "[" not in str(part)]
    key = ".".join([section, *path] if section else path)
    source = _source(key, where or {})
    if first["type"] == "extra_forbidden":
        allowed = _fields_at(model, path[:-1])
        near = get_close_matches(path[-1], allowed, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return InputError(f"{source}{key}: unknown key{hint}; allowed: {', '.join(allowed)}")
    if first["type"] == "missing":
        return InputError(f"{source}{key}: missing, and it has no default")
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if key:
        return InputError(f"{source}{key} = {first['input']!r}: {message}")
    return InputError(f"{source}{message}")


def _source(key: str, where: Mapping[str, str]) -> str:
    """Return `file: ` for the longest prefix of `key` whose origin is known."""
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        origin = where.get(".".join(parts[:length]))
        if origin:
            return f"{origin}: "
    return f"{where['']}: " if where.get("") else ""


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """Return the keys of the section that `path` leads to, through lists and mappings too."""
    for part in path:
        field = model.model_fields.get(part)
        model = next(_models_in(field.annotation), model) if field else model
    return sorted(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation such as `tuple[Model, ...] | None` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
