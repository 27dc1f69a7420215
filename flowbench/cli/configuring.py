"""From the command line's words to a validated specification."""

from pathlib import Path

from flowbench.errors import InputError
from flowbench.spec.files import Configuration, load
from flowbench.spec.run import RunSpec
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
    from flowbench.families.registry import family_class
    from flowbench.families.schema import resolve

    configuration = read_arguments(arguments)
    for section in ("family", "data"):
        if section not in configuration.values:
            raise InputError(f"{' '.join(arguments)}: no section `{section}`; name one")
    spec = validated(RunSpec, configuration.values, where=configuration.where)
    family = spec.family
    values = resolve(family_class(family.name), family.hyperparameters, configuration.where)
    return spec.model_copy(update={"family": type(family)(name=family.name, **values)})
