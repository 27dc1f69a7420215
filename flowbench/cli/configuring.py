"""From the command line's words to a validated specification."""

from collections.abc import Mapping
from pathlib import Path

from flowbench.errors import InputError
from flowbench.run_directory import RunDirectory, home
from flowbench.spec.files import Configuration, load
from flowbench.spec.run import DataSpec, RunSpec
from flowbench.spec.validation import validated


def read_arguments(arguments: list[str]) -> Configuration:
    """Split `CONFIG... key=value ...` and merge it; an argument with `=` is an override.

    Raises:
        InputError: for an unreadable file or a malformed override.
    """
    overrides = [word for word in arguments if "=" in word and not Path(word).is_file()]
    files = [Path(word) for word in arguments if word not in overrides]
    return load(files, overrides)


def run_spec(arguments: list[str]) -> RunSpec:
    """Return the run that the arguments describe, its family's keys resolved to full defaults.

    Raises:
        InputError: for the first mistake, naming its file and key.
    """
    configuration = read_arguments(arguments)
    for section in ("family", "data"):
        if section not in configuration.values:
            raise InputError(f"{' '.join(arguments)}: no section `{section}`; name one")
    spec = validated(RunSpec, configuration.values, where=configuration.where)
    return complete(spec, configuration.where)


def stopped_run(arguments: list[str]) -> str | None:
    """Return the run whose `spec.json` is the only argument, where it has no result yet."""
    run = _run_of_spec(arguments)
    here = run is not None and run.path.parent == home()
    return run.id if run is not None and here and not run.result() else None


def finished_run(arguments: list[str]) -> RunDirectory | None:
    """Return the run whose `spec.json` is the only argument, where it has a result."""
    run = _run_of_spec(arguments)
    return run if run is not None and run.result() else None


def _run_of_spec(arguments: list[str]) -> RunDirectory | None:
    path = Path(arguments[0]).absolute()
    return RunDirectory(path.parent) if len(arguments) == 1 and path.name == "spec.json" else None


def complete(spec: RunSpec, where: Mapping[str, str] | None = None) -> RunSpec:
    """Return the run with its family's keys validated and in full; its data must be there.

    Args:
        spec: what was asked for.
        where: for each dotted key the file or override it came from, for the error's sentence.

    Raises:
        InputError: for an unknown family, key or data set, a value out of range, a missing file.
    """
    from flowbench.data.catalogue import refuse_unknown
    from flowbench.data.files import locate
    from flowbench.families.registry import family_class
    from flowbench.families.schema import resolve

    data = spec.data
    if data.name is not None:
        refuse_unknown(data.name)
    for key in ("path", "train", "validation", "test"):
        if getattr(data, key) is not None:
            locate(getattr(data, key), f"data.{key}")
    family = spec.family
    values = resolve(family_class(family.name), family.hyperparameters, dict(where or {}))
    return spec.model_copy(update={"family": type(family)(name=family.name, **values)})


def data_spec(key: str, name: str, overrides: list[str]) -> DataSpec:
    """Return the data set that `flowbench data` is asked about.

    Args:
        key: `name` or `path`.
        name: its value, taken as it is.
        overrides: further keys of the section, as `train_size=100` or `data.train_size=100`.

    Raises:
        InputError: for a malformed override, an unknown key or a value out of range.
    """
    words = [word if word.startswith("data.") else f"data.{word}" for word in overrides]
    configuration = load([], words)
    values = {key: name, **configuration.values.get("data", {})}
    return validated(DataSpec, values, "data", configuration.where)
