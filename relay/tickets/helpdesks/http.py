"""One exchange with a helpdesk over HTTP: what came back, or which of our errors it amounts to.

Bounded in time and in what is read. Redirects are not followed: what is signed or carries a token goes to the address
that the operator wrote, and nowhere else.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from relay.errors import HelpdeskDown, HelpdeskError

CONNECT_TIMEOUT = 5.0
TIMEOUT = 20.0
"""Seconds for an answer, and between the parts of one."""
LARGEST = 4 * 1024**2
"""Octets that are read of an answer."""
SLOWLY = 600.0
"""Seconds before a helpdesk that doesn't take our token or signature is asked again."""
FEW = 200
"""Characters of an answer that are shown to people."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``headers``: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Raises HelpdeskError where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise HelpdeskError(f"answers {self.status} with what is no JSON: {self.excerpt}") from None

    @property
    def excerpt(self) -> str:
        text = " ".join(self.body[: FEW * 4].decode("utf-8", "replace").split())
        return text if len(text) <= FEW else f"{text[:FEW]}…"


def client(**options: Any) -> httpx2.AsyncClient:
    """One that keeps a few connections; ``options``: httpx2's own."""
    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT),
        limits=httpx2.Limits(max_connections=20, max_keepalive_connections=4),
        follow_redirects=False,
        verify=ssl.create_default_context(),  # the system's authorities, or those of SSL_CERT_FILE
        **options,
    )


async def exchange(web: httpx2.AsyncClient, request: httpx2.Request, *, only_status: bool = False) -> Answer:
    """Send it once; ``only_status``: of a yes nothing more is read.

    Raises HelpdeskDown where there is no connection, TimeoutError where it hangs, and HelpdeskError where what comes
    back is no HTTP.
    """
    # Packed, a small answer could become one without end.
    request.headers["Accept-Encoding"] = "identity"
    try:
        response = await web.send(request, stream=True)
        try:
            body = bytearray()
            if not (only_status and response.is_success):
                async for part in response.aiter_raw():
                    body += part
                    if len(body) > LARGEST:
                        raise HelpdeskError(f"answers {response.status_code} with more than {LARGEST} octets")
        finally:
            await response.aclose()
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
        raise HelpdeskDown(f"can't be reached: {_why(error)}") from error
    except httpx2.TimeoutException as error:
        raise TimeoutError(f"no answer within {TIMEOUT:g} s") from error
    except httpx2.HTTPError as error:
        raise HelpdeskError(f"breaks off, or doesn't speak HTTP: {_why(error)}") from error
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, bytes(body))


def refusal(answer: Answer, now: float) -> HelpdeskError:
    """What a status that is no yes means, whoever gives it. ``now``: by the wall clock."""
    said = f"answers {answer.status}" + (f": {answer.excerpt}" if answer.body.strip() else "")
    wait = retry_after(answer.headers.get("retry-after", ""), now)
    if answer.status in (401, 407):
        return HelpdeskDown(f"doesn't take what we prove ourselves with (401); {said}", max(wait or 0.0, SLOWLY))
    if wait is not None or answer.status in (429, 502, 503, 504):
        return HelpdeskDown(said, wait)
    if 300 <= answer.status < 400:
        where = answer.headers.get("location", "somewhere else")
        return HelpdeskError(f"redirects to {where}, where we don't follow: set [helpdesk] url to the right address")
    return HelpdeskError(said)


def retry_after(text: str, now: float) -> float | None:
    """Seconds of a Retry-After header (RFC 9110 10.2.3), which are a number or a date; None where it is neither."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _why(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
