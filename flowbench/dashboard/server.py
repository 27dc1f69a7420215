"""The dashboard's server: threads of one process, on this machine's own address."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.serving import BaseWSGIServer, make_server

from flowbench.dashboard.app import make_app
from flowbench.dashboard.record import Record
from flowbench.serving import listening


@contextmanager
def serving(tracking_uri: str, host: str, port: int) -> Iterator[BaseWSGIServer]:
    """Make the server and follow the record; `serve_forever` of what is yielded answers.

    Args:
        tracking_uri: the record's address.
        host: where to listen.
        port: at which port; 0 for any that is free (the server's `port` names it).

    Raises:
        InputError: if the port is taken or the address is not this machine's.
    """
    # A line a request is for servers that others use.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with listening(host, port) as listener:
        record = Record(tracking_uri)
        app = make_app(record, host)
        server = make_server(
            host, listener.getsockname()[1], app.server, threaded=True, fd=listener.fileno()
        )
        record.start()
        try:
            yield server
        finally:
            record.stop()
            server.server_close()
