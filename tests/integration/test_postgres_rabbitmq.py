"""The production profile: PostgreSQL and RabbitMQ, the daemon running two workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.services.comparison import assert_same_rows
from support.services.postgres import Postgres
from support.services.profile import NAME, Row, isolated_profile
from support.services.rabbitmq import RabbitMQ

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]


def test_batch_through_postgres_and_rabbitmq_gives_what_the_embedded_profile_gives(
    postgres: Postgres, rabbitmq: RabbitMQ, crystals: Path, embedded_rows: dict[str, Row]
) -> None:
    with isolated_profile() as profile:
        profile.set_up_services(postgres, rabbitmq)
        profile.set_up(workers=2)
        pk, rows = profile.relax(crystals, "pet-engine@localhost")
        document = profile.status(pk)
        settings = json.loads((profile.folder / "aiida" / ".aiida" / "config.json").read_text())
    assert_same_rows(rows, embedded_rows)
    assert document["exit_status"] == 0
    assert settings["profiles"][NAME]["storage"]["backend"] == "core.psql_dos"
    assert settings["profiles"][NAME]["process_control"]["backend"] == "core.rabbitmq"
