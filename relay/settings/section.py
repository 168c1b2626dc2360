"""What a section of relay.toml is made of, and what its keys may hold.

The sections are in node.py, mail.py, outage.py and people.py; a kind of value that only one of them has is there.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from relay.networks import parse_network
from relay.values import parse_address, parse_duration, parse_size


def _address(text: str) -> str:
    parse_address(text)
    return text


Size = Annotated[int, BeforeValidator(parse_size)]
Duration = Annotated[float, BeforeValidator(parse_duration)]
Listen = Annotated[str, AfterValidator(_address)]
Network = Annotated[str, AfterValidator(parse_network)]
Positive = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    """One table of relay.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
