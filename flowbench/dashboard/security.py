"""What the server tells browsers that they may do, and to whom it answers."""

from typing import TYPE_CHECKING

from flask import Response

from flowbench.serving import guarded

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


def secure(app: "dash.Dash", host: str) -> None:
    """Send the headers with every answer, and answer only to whom the server is meant for.

    Args:
        app: with all its callbacks: the policy lists its scripts.
        host: the address that it listens at.
    """
    scripts = " ".join(["'self'", *app.csp_hashes()])
    policy = "; ".join(f"{name} {value}" for name, value in POLICY.items())
    policy += f"; script-src {scripts}"

    def with_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        response.headers["Content-Security-Policy"] = policy
        return response

    app.server.after_request(with_headers)
    app.server.wsgi_app = guarded(app.server.wsgi_app, host)
