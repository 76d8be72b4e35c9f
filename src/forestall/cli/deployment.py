"""The ``--config`` option that commands share, and what it stands for."""

from pathlib import Path
from typing import Annotated

import typer

from forestall.kernel.settings import Settings, load_settings

DEFAULT = Path("forestall.toml")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="The deployment's settings; ./forestall.toml if there is one.",
        show_default=False,
    ),
]


def settings_for(config: Path | None) -> Settings:
    """The settings named, those of the current folder, or the defaults; secrets stay as written.

    Raises ``InvalidSettings``.
    """
    if config is not None:
        return load_settings(config, secrets=False)
    return load_settings(DEFAULT, secrets=False) if _there(DEFAULT) else Settings()


def _there(file: Path) -> bool:
    """Whether there is a file; also where nobody may see whether, so that reading it tells."""
    try:
        return file.exists()
    except PermissionError:
        return True


def tables_for(data: Path | None, config: Path | None) -> Path | str:
    """Where the tables of the app process are: app.db in the data folder, or PostgreSQL's URL."""
    if data is not None:
        return data / "app.db"
    settings = settings_for(config)
    if settings.database is not None and settings.file is not None:
        settings = load_settings(settings.file)
    return settings.database or settings.data / "app.db"


DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="The server's data folder; the one the settings name.", show_default=False
    ),
]

DataArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="DATA",
        help="A server's data folder; the one the settings name.",
        show_default=False,
    ),
]


def data_for(data: Path | None, config: Path | None) -> Path:
    """The data folder given, or the one of the settings."""
    return data if data is not None else settings_for(config).data
