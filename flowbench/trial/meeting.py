"""Where the leader and the ranks of a trial on one machine meet."""

from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]
from torch.distributed.elastic.rendezvous import RendezvousHandler, RendezvousInfo
from torch.distributed.elastic.rendezvous.api import (
    RendezvousParameters,
    RendezvousStoreInfo,
    rendezvous_handler_registry,
)

BACKEND = "flowbench-alone"
HOST = "localhost"


class AloneMeeting(RendezvousHandler):
    """The meeting of a leader with no other: a store for its ranks, whose port the kernel chose.

    The port is held from the moment that it is chosen, so no other program can take it before the
    ranks come. Torch's own handler for nodes that come and go waits for those that might, for half
    a second.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self._store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False)

    def get_backend(self) -> str:
        return BACKEND

    @property
    def use_agent_store(self) -> bool:
        return True

    def next_rendezvous(self) -> RendezvousInfo:
        place = RendezvousStoreInfo(HOST, self._store.port)
        return RendezvousInfo(PrefixStore("agent", self._store), 0, 1, place)

    def is_closed(self) -> bool:
        return False

    def set_closed(self) -> None:
        pass

    def num_nodes_waiting(self) -> int:
        return 0

    def get_run_id(self) -> str:
        return self.run_id

    def shutdown(self) -> bool:
        return True


def _create(parameters: RendezvousParameters) -> RendezvousHandler:
    return AloneMeeting(parameters.run_id)


rendezvous_handler_registry.register(BACKEND, _create)
