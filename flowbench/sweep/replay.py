"""Running a trial again by itself, to the last bit."""

from flowbench.run_directory import Replay, RunDirectory


def replay_of(run: RunDirectory) -> Replay | None:
    """Return what a new run must keep to of a finished one, beside its specification.

    Returns:
        The CPU threads that it had, and its pace where its budget was in seconds; None where it
        ended before it had any.
    """
    finished = [attempt for attempt in run.attempts() if attempt.result() is not None]
    if not finished:
        return None
    starts = [event for event in finished[-1].events()[0] if event["kind"] == "start"]
    if not starts:
        return None
    return Replay(threads=starts[-1]["threads"], pace=finished[-1].pace())
