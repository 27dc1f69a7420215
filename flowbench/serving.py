"""Servers of pages: where they listen, and to whom they answer."""

import errno
import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from flowbench.errors import InputError

LOOPBACK = "127.0.0.1"

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: at which address of this machine.
        port: at which port; 0 for any that is free.

    Raises:
        InputError: if the port is taken or the address is not this machine's.
    """
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


def address(host: str, port: int) -> str:
    """Return what to type into a browser."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's own."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def guarded(app: Wsgi, host: str) -> Wsgi:
    """Answer only to whom a server is meant for.

    A page elsewhere that names this machine by a name of its own (DNS rebinding) is refused, and
    so is a request that another site's page makes.

    Args:
        app: what answers.
        host: the address that it listens at; at one that is not this machine's own, any name is
            accepted.
    """

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        called = str(environ.get("HTTP_HOST", ""))
        origin = environ.get("HTTP_ORIGIN")
        stranger = is_loopback(host) and not is_loopback(urlsplit(f"//{called}").hostname or "")
        if stranger or (origin is not None and urlsplit(origin).netloc != called):
            start("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"This server answers to this machine and its own pages alone."]
        return app(environ, start)

    return answer
