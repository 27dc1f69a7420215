"""What users see when their input is wrong."""


class InputError(ValueError):
    """A mistake in what the user gave, in one sentence: file, key, value and what is allowed.

    The command line prints the sentence and exits with code 2; no traceback is shown.
    """


class RunFailed(RuntimeError):
    """A run, check or verification that was asked for properly and failed; exit code 1."""


class NotInvertible(RuntimeError):
    """A layer whose parameters no longer give an invertible map; the sentence names the layer.

    A trial ends with the outcome `not_invertible`.
    """
