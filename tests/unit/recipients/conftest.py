"""What the tests of recipients share."""

from __future__ import annotations

from tests.support.database import db

__all__ = ["db"]
