"""A small file system in memory, to be filled up."""

import subprocess
from pathlib import Path
from typing import Self


class SmallDisk:
    """A tmpfs mount, made by root.

    Args:
        path: where it is mounted; made if need be.
        megabytes: its size.
    """

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path = path
        self._megabytes = megabytes

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        size = f"size={self._megabytes}m"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "flowbench", self.path], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        # Lazily: a process killed a moment ago may still hold a file.
        subprocess.run(["umount", "--lazy", self.path], check=True)

    @property
    def ballast(self) -> Path:
        """The file that takes the room."""
        return self.path / "ballast"

    def fill(self, *, leaving: int = 0) -> None:
        """Take all the room but `leaving` bytes."""
        with self.ballast.open("wb", buffering=0) as file:
            block = bytes(2**16)
            try:
                while True:
                    file.write(block)
            except OSError:  # full
                file.truncate(max(0, file.tell() - leaving))

    def empty(self) -> None:
        """Give the room back."""
        self.ballast.unlink(missing_ok=True)
