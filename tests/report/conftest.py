"""Launches of an archive, and a headless browser that opens their reports."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

ARCHIVE = Path(__file__).parents[1] / "archives" / "version-0.1.0.aiida"


@pytest.fixture(scope="module")
def archive(aiida_profile: Any) -> Callable[[], AbstractContextManager[Callable[[str], Any]]]:
    """A context in which the profile is an archive: a screening with force constants, and more; launches by label."""
    from aiida import orm
    from aiida.manage import get_manager
    from aiida.storage.sqlite_zip.backend import SqliteZipBackend

    def launch(label: str) -> Any:
        query = orm.QueryBuilder().append(orm.WorkChainNode, filters={"label": label})
        return query.first(flat=True)

    @contextmanager
    def opened() -> Iterator[Callable[[str], Any]]:
        manager = get_manager()
        manager.load_profile(SqliteZipBackend.create_profile(str(ARCHIVE)), allow_switch=True)
        try:
            yield launch
        finally:
            manager.load_profile(aiida_profile, allow_switch=True)

    return opened


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is; skips where it, or what drives it, is not installed."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra `test`")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no chromium: scripts/install-services.sh installs Debian's")
    return path
