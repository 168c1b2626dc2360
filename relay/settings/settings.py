"""All sections together: what relay.toml holds, and every part of the node goes by."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from relay.settings.mail import Delivery, Limits, Smtp
from relay.settings.node import Backup, Dns, Metrics, Node
from relay.settings.outage import Continuity, Support, Watch
from relay.settings.people import Helpdesk, Notify


class Settings(BaseSettings):
    """Everything that can be set. Made by :func:`relay.settings.load`."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix="RELAY_", env_nested_delimiter="__")

    node: Node = Field(default_factory=Node)
    smtp: Smtp = Smtp()
    limits: Limits = Limits()
    watch: Watch = Watch()
    continuity: Continuity = Continuity()
    support: Support = Support()
    delivery: Delivery = Delivery()
    dns: Dns = Dns()
    metrics: Metrics = Metrics()
    backup: Backup = Backup()
    helpdesk: Helpdesk = Helpdesk()
    notify: Notify = Notify()
