"""Whether the kernel killed processes because memory ran out."""

from pathlib import Path

COUNTERS = (
    Path("/proc/vmstat"),
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
)
"""The machine's, a container's (version 2 of control groups) and a container's (version 1)."""


class OomKills:
    """Counts the kernel's out-of-memory kills from now on, of any process that we can know of."""

    def __init__(self) -> None:
        self._before = _counts()

    def any(self) -> bool:
        """Say whether there was one since."""
        now = _counts()
        return any(now.get(path, 0) > count for path, count in self._before.items())


def _counts() -> dict[Path, int]:
    found = {}
    for path in COUNTERS:
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        for name, _, value in (line.partition(" ") for line in lines):
            if name == "oom_kill":
                found[path] = int(value)
    return found
