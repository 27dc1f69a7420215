"""What the server tells browsers that they may do, and to whom it answers."""

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Response, request

if TYPE_CHECKING:
    import dash

POLICY = {
    "default-src": "'self'",
    # Plotly and ag-grid write style elements as they draw.
    "style-src": "'self' 'unsafe-inline'",
    # A figure becomes a PNG by way of an image of its SVG.
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def is_loopback(host: str) -> bool:
    """Say whether an address is this machine's own."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def secure(app: "dash.Dash", host: str) -> None:
    """Send the headers with every answer, and answer only to whom the server is meant for.

    A page elsewhere that names this machine by a name of its own (DNS rebinding) is refused, and
    so is a request that another site's page makes.

    Args:
        app: with all its callbacks: the policy lists its scripts.
        host: the address that it listens at; at one that is not this machine's own, any name is
            accepted.
    """
    local = is_loopback(host)
    scripts = " ".join(["'self'", *app.csp_hashes()])
    policy = "; ".join(f"{name} {value}" for name, value in POLICY.items())
    policy += f"; script-src {scripts}"

    def refuse_strangers() -> Response | None:
        called = urlsplit(f"//{request.host}").hostname or ""
        if local and not is_loopback(called):
            return Response("This dashboard answers to this machine alone.", 403)
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            return Response("A page of another site may not ask this dashboard.", 403)
        return None

    def with_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        response.headers["Content-Security-Policy"] = policy
        return response

    app.server.before_request(refuse_strangers)
    app.server.after_request(with_headers)
