"""Configuration files merged left to right, then `key=value` overrides."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flowbench.errors import InputError


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars: `1e-3` is a number, and `off`, `no` and `on` are words."""


_TAUGHT_ANEW = ("bool", "float", "timestamp")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in known if tag.rsplit(":", 1)[1] not in _TAUGHT_ANEW]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
        r"|\.(?:inf|Inf)|\.(?:nan|NaN))$"
    ),
    list("-+0123456789."),
)


@dataclass
class Configuration:
    """Merged values, and for each dotted key the file or override that it came from."""

    values: dict[str, Any] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)


def parse_scalar(text: str) -> Any:
    """Read the value of an override as YAML: numbers, words, lists, null."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError:
        return text


def read_file(path: Path) -> dict[str, Any]:
    """Read one YAML or JSON file of keys.

    Raises:
        InputError: if it is missing, is not YAML or JSON, or is no mapping.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, json.JSONDecodeError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a configuration file: {reason}") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: a mapping of keys to values is expected at the top")
    return values


def load(files: Iterable[Path], overrides: Iterable[str] = ()) -> Configuration:
    """Merge files left to right, then `key=value` overrides.

    Raises:
        InputError: for an unreadable file or an override without `=`.
    """
    merged = Configuration()
    for path in files:
        merge(merged, read_file(path), str(path))
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise InputError(f"{override!r}: an override is written key=value")
        nested: Any = parse_scalar(text)
        for part in reversed(key.split(".")):
            nested = {part: nested}
        merge(merged, nested, "command line")
    return merged


def merge(into: Configuration, values: Mapping[str, Any], source: str) -> None:
    """Lay `values` over the configuration, key by key; `source` is where they come from."""
    _merge(into.values, values, into.where, "", source)


def _merge(
    into: dict[str, Any], values: Mapping[str, Any], where: dict[str, str], prefix: str, source: str
) -> None:
    for key, value in values.items():
        dotted = f"{prefix}{key}"
        where[dotted] = source
        if isinstance(value, Mapping):
            below = into.get(key)
            into[key] = below = below if isinstance(below, dict) else {}
            _merge(below, value, where, f"{dotted}.", source)
        else:
            into[key] = value
