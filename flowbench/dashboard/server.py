"""The dashboard's server: threads of one process, on this machine's own address."""

import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.serving import BaseWSGIServer, make_server

from flowbench.dashboard.app import make_app
from flowbench.dashboard.record import Record
from flowbench.errors import InputError


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
    listener = _listening(host, port)
    record = Record(tracking_uri)
    app = make_app(record, host)
    with listener:
        server = make_server(
            host, listener.getsockname()[1], app.server, threaded=True, fd=listener.fileno()
        )
        record.start()
        try:
            yield server
        finally:
            record.stop()
            server.server_close()


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except socket.gaierror:
        raise InputError(f"--host {host}: no address of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"--port {port}: another program listens there; --port 0 takes a free one"
            ) from None
        if error.errno in (errno.EADDRNOTAVAIL, errno.EACCES):
            raise InputError(f"--host {host} --port {port}: {error.strerror}") from None
        raise
