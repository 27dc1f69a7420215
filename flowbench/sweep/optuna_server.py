"""Optuna's dashboard on the studies of sweeps: threads of this process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flowbench.errors import InputError
from flowbench.run_directory import home
from flowbench.serving import guarded, listening
from flowbench.sweep.storage import Storage

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer


@contextmanager
def serving(host: str, port: int) -> "Iterator[BaseWSGIServer]":
    """Make the server; `serve_forever` of what is yielded answers.

    Args:
        host: where to listen.
        port: at which port; 0 for any that is free (the server's `port` names it).

    Raises:
        InputError: if there are no studies, the port is taken or the address is not this
            machine's.
    """
    storage = Storage()
    if not storage.shared and not (home() / "optuna.db").is_file():
        raise InputError(f"{home() / 'optuna.db'}: no studies yet; a sweep makes them")
    with listening(host, port) as listener:
        from optuna_dashboard import wsgi
        from werkzeug.serving import make_server

        # A line a request is for servers that others use.
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        app = guarded(wsgi(storage.studies()), host)
        number, descriptor = listener.getsockname()[1], listener.fileno()
        server = make_server(host, number, app, threaded=True, fd=descriptor)
        try:
            yield server
        finally:
            server.server_close()
