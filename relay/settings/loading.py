"""Reads the settings: relay.toml, and RELAY_* variables, which win over it.

An unknown or wrong key is refused by name, with what it should be, as a :class:`relay.errors.SettingsError` of one
line.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, TomlConfigSettingsSource
from pydantic_settings.exceptions import SettingsError as SourceError

from relay.errors import SettingsError
from relay.settings.agreement import check
from relay.settings.node import SQLITE
from relay.settings.people import Rule
from relay.settings.settings import Settings

CONFIG_PATHS = (Path("relay.toml"), Path("/etc/relay/relay.toml"))


def find(path: Path | None) -> Path | None:
    """The file named by -c, $RELAY_CONFIG, ./relay.toml or /etc/relay/relay.toml, in this order; None where none is."""
    if path is not None:
        return path
    if named := os.environ.get("RELAY_CONFIG"):
        return Path(named)
    return next((candidate for candidate in CONFIG_PATHS if candidate.is_file()), None)


def load(path: Path | None = None) -> Settings:
    """Read and check the settings. Raises SettingsError with one line that names the key."""
    where = find(path)
    if where is not None:
        try:
            tomllib.loads(where.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SettingsError(f"{where}: no such file; 'relayctl init' makes one") from None
        except OSError as error:
            raise SettingsError(f"{where}: {error.strerror or error}") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{where}: {error}") from None

    class FromHere(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (env_settings, TomlConfigSettingsSource(settings_cls, where))

    _check_variables()
    try:
        settings = FromHere()
        settings.support.calendar()
    except ValidationError as error:
        raise SettingsError(f"{where or 'environment'}: {_explain(error)}") from None
    except SourceError:
        wrong = ", ".join(name for name in _variables() if os.environ[name].lstrip()[:1] not in "[{")
        raise SettingsError(f'environment: a list should be JSON, such as ["127.0.0.1:2525"]; see {wrong}') from None
    except ValueError as error:
        raise SettingsError(f"{where or 'environment'}: [support] hours, timezone, holidays: {error}") from None
    check(settings, where)
    return _anchored(settings, where)


def _variables() -> list[str]:
    return [name for name in sorted(os.environ) if name.startswith("RELAY_") and name != "RELAY_CONFIG"]


def _check_variables() -> None:
    """A misspelt variable must not pass in silence: pydantic-settings looks only for those it knows."""
    for name in _variables():
        section, _, key = name.removeprefix("RELAY_").lower().partition("__")
        if section not in Settings.model_fields:
            raise SettingsError(
                f"environment: {name} is not a setting; sections are {', '.join(Settings.model_fields)}"
            )
        if not key and not os.environ[name].lstrip().startswith("{"):
            raise SettingsError(f"environment: {name} should name a key, as in RELAY_{section.upper()}__KEY")


def _anchored(settings: Settings, where: Path | None) -> Settings:
    """Relative paths of [node] are relative to relay.toml, so that relayctl finds them from any folder."""
    if where is None:
        return settings
    home, node = where.resolve().parent, settings.node
    found = {"folder": str(home / node.folder)}
    if node.database.startswith(SQLITE):
        found["database"] = f"{SQLITE}{home / node.database.removeprefix(SQLITE)}"
    return settings.model_copy(update={"node": node.model_copy(update=found)})


def _explain(error: ValidationError) -> str:
    """The first fault as '[section] key: what it should be'."""
    fault = error.errors()[0]
    place = [str(part) for part in fault["loc"]]
    name = f"[{place[0]}]" + "".join(f" {part}" for part in place[1:])
    if fault["type"] == "extra_forbidden":
        section = Settings.model_fields.get(place[0])
        kind: Any = section.annotation if section and len(place) > 1 else Settings
        kind = Rule if place[:2] == ["notify", "rules"] else kind
        return f"{name} is not a setting; known here: {', '.join(kind.model_fields)}"
    if fault["type"] == "string_pattern_mismatch" and place[1:] in (["database"], ["database_direct"]):
        # Without what it is: there may be a password in it.
        file = "sqlite:///path/to/relay.db or " if place[1] == "database" else ""
        return f"{name} should be {file}postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("Value ")
    secret = place[0] == "helpdesk" and place[1:2] in (["secret"], ["token"])
    secret |= place[0] == "notify" and not {"name", "priorities", "events", "conditions"} & set(place)
    if secret or fault["type"] == "missing":
        return f"{name}: {message}"  # what is given is nobody else's business
    return f"{name}: {message} (it is {fault['input']!r})"
