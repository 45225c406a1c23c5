"""Reports as a browser shows them: nothing fetched, nothing complained of, every datum drawn, every text a text."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk

from aiida_pet.job.folder import Progress
from aiida_pet.report import Choices, write_report
from benchmarks.report import made_up_launch
from support.opened_page import Opened, opened

IDS = [
    "</script><script>document.title='taken'</script>",
    "\"><img src=x onerror=document.title='taken'>",
    "a'b\"c",
    "ünïcödé-晶体-\u2028x",
    "<!--",
    "=1+1",
]
"""Ids that are no more than text; the last would be a formula in a spreadsheet."""


@pytest.fixture(scope="module")
def screening(archive: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a screening that was computed by the real engine, beside a relaxation."""
    path = tmp_path_factory.mktemp("report") / "screening.html"
    with archive() as launch:
        write_report([launch("screening"), launch("loose")], path)
    return path


@pytest.fixture(scope="module")
def single(module_inputs: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a single crystal."""
    from aiida import orm
    from aiida.engine import run_get_node

    from aiida_pet.workchains.relax import RelaxWorkChain

    inputs = {name: value for name, value in module_inputs(1).items() if name not in ("structures", "task")}
    crystal = orm.StructureData(ase=bulk("W", cubic=True))
    path = tmp_path_factory.mktemp("report") / "single.html"
    write_report([run_get_node(RelaxWorkChain, structure=crystal, **inputs)[1]], path)
    return path


@pytest.fixture(scope="module")
def browsers(single: Path, chromium_path: str) -> Iterator[dict[str, Any]]:
    """Chromium with WebGL in software, as it is by itself, and without any WebGL.

    What drives it keeps an event loop running, in which AiiDA runs nothing: so launches are made before.
    """
    from playwright.sync_api import sync_playwright

    options = {"webgl": ["--enable-unsafe-swiftshader"], "plain": [], "without": ["--disable-3d-apis"]}
    with sync_playwright() as driver:
        found = {
            kind: driver.chromium.launch(executable_path=chromium_path, args=["--no-sandbox", *more])
            for kind, more in options.items()
        }
        yield found
        for browser in found.values():
            browser.close()


def assert_sound(page: Opened, *kinds: str) -> None:
    """Nothing fetched, nothing complained of, and each figure has as many marks as its data; these kinds are there."""
    assert page.complaints == []
    assert page.asked == []
    marks = page.marks()
    assert [(name, there, wanted) for name, there, wanted, _ in marks if there < wanted] == []
    assert set(kinds) <= {drawn for *_, drawn in marks}
    assert page.page.title() != "taken"
    wide = page.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0  # nothing but tables is pushed sideways


def colours_of(page: Opened, selector: str) -> int:
    """Return how many colours a part of the page has on the screen."""
    from PIL import Image

    image = Image.open(io.BytesIO(page.page.query_selector(selector).screenshot()))
    return len(image.convert("RGB").getcolors(1 << 24))


@pytest.mark.parametrize("kind", ["webgl", "plain", "without"])
def test_screening_is_drawn_whole_in_every_browser(
    screening: Path, browsers: dict[str, Any], kind: str
) -> None:
    with opened(browsers[kind], screening) as page:
        assert_sound(
            page,
            "bars",
            "histogram",
            "binary",
            "bands",
            "lines",
            "tensor",
            "young",
            "periodic",
            "parity",
            "steps",
        )
        is_solid = page.page.evaluate("R.hasWebGL()")
        assert is_solid is not (kind == "without")
        assert page.page.is_visible(".view .solid canvas" if is_solid else ".view .drawn svg")
        assert colours_of(page, ".view") > 50
        assert len(page.page.query_selector_all(".view .drawn circle")) >= 1
        if kind == "without":  # paper has another width: what is drawn keeps its height
            page.page.emulate_media(media="print")
            page.page.set_viewport_size({"width": 794, "height": 1100})
            page.page.wait_for_timeout(500)
            heights = page.page.eval_on_selector_all(
                ".js-plotly-plot", "all => all.map(one => one._fullLayout.height)"
            )
            assert min(heights) > 150


def test_choosing_saving_and_coming_back_on_a_telephone(screening: Path, browsers: dict[str, Any]) -> None:
    with opened(browsers["without"], screening, width=400) as page:
        assert_sound(page, "bars", "bands", "periodic")
        with page.page.expect_download() as download:
            page.page.click("[data-csv=hull-Mo-Ta]")
        lines = Path(download.value.path()).read_text().splitlines()
        assert lines[0].startswith("id,formula,x_Mo,x_Ta,formation_energy,e_above_hull")
        assert len(lines) == 1 + 4
        page.page.fill("#find", "MoTa")
        assert page.ids() == ["MoTa"]
        page.page.click("#table .row")
        page.page.wait_for_selector("#detail[data-chosen=MoTa]")
        assert page.page.inner_text("#detail h3") == "MoTa"
        page.page.click("nav a >> text=Elements")
        page.page.wait_for_function(
            "location.hash.includes('id=MoTa') && location.hash.includes('find=MoTa')"
        )
        page.page.reload()
        page.page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        assert page.ids() == ["MoTa"]
        assert page.page.get_attribute("#detail", "data-chosen") == "MoTa"
        assert page.complaints == []


@pytest.fixture
def hostile(aiida_profile: Any, tmp_path: Path) -> Path:
    """The report of 6,000 rows, the first ids of which are hostile."""
    path = tmp_path / "hostile.html"
    write_report([made_up_launch(6_000, IDS)], path, Choices(ids=tuple(IDS), best=2, most_rows=5_000))
    return path


def test_large_table_sorts_and_filters_and_hostile_ids_are_texts(
    hostile: Path, browsers: dict[str, Any]
) -> None:
    with opened(browsers["without"], hostile) as page:
        assert_sound(page, "histogram", "binary", "periodic")
        assert "5,000 of 6,000 rows" in page.page.inner_text("#rows")
        values = page.page.evaluate("R.data.table.columns.find(c => c.name === 'e_above_hull').values")
        ids = page.page.evaluate("R.data.table.ids")
        assert len(ids) == 5_000
        assert set(IDS) <= set(ids)

        page.page.click("#table [data-name=e_above_hull] button")
        nearest = [ids[i] for i in sorted(range(len(ids)), key=lambda i: values[i])]
        drawn = page.ids()
        assert drawn == nearest[: len(drawn)]
        assert 10 < len(drawn) < 100  # only what is in sight
        page.page.click("#table [data-name=e_above_hull] button")
        assert page.ids()[0] == nearest[-1]

        page.page.fill("#table [data-name=e_above_hull] input", "< 0.01")
        wanted = sum(value < 0.01 for value in values)
        assert f"{wanted:,} of 5,000 rows" in page.page.inner_text("#count")
        page.page.click("#clear")
        for row_id in IDS:
            page.page.fill("#find", row_id)
            assert page.ids() == [row_id]
        page.page.fill("#find", "made-up-1")
        assert 10 < len(page.ids()) < 100
        buttons = page.page.eval_on_selector_all("#chooser button", "all => all.map(one => one.textContent)")
        assert buttons[: len(IDS)] == IDS
        assert page.complaints == []
        with page.page.expect_download() as download:
            page.page.fill("#find", "=1+1")
            page.page.click("#save")
        assert "'=1+1" in Path(download.value.path()).read_text()


@pytest.mark.slow
def test_a_quarter_of_a_million_rows_make_a_page_that_opens(
    aiida_profile: Any, browsers: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "large.html"
    launch = made_up_launch(257_000)
    write_report([launch], path)
    assert path.stat().st_size < 25e6
    with opened(browsers["without"], path) as page:
        assert_sound(page, "histogram", "binary", "periodic")
        assert "of 257,000 rows" in page.page.inner_text("#rows")
        ids = page.page.evaluate("R.data.table.ids")
        above = dict(
            zip(launch.outputs.results.ids, launch.outputs.results.column("e_above_hull"), strict=True)
        )
        page.page.click("#table [data-name=e_above_hull] button")
        assert above[page.ids()[0]] == min(above.values())  # extremes are among the rows that are there
        assert len(ids) == 5_000


def test_running_campaign_is_shown_and_its_page_reads_itself_again(
    make_campaign: Callable[..., Any], browsers: dict[str, Any], tmp_path: Path
) -> None:
    campaign = make_campaign(["a", "b", "max_steps-c", "d"])
    campaign.finish_job(["a", "b"])
    beat = Progress(
        rows_total=2,
        rows_done=1,
        step="running",
        updated=time.time(),
        statuses={"max_steps": 1},
        rate=0.5,
        engine_s=2,
    )
    campaign.add_job(["max_steps-c", "d"], beat, tmp_path / "job")
    path = tmp_path / "running.html"
    assert write_report([campaign.node], path, Choices(refresh_s=6)).goes_on
    with opened(browsers["without"], path) as page:
        page.page.check("#hold")
        assert_sound(page, "bars", "steps", "periodic")
        assert "The campaign goes on" in page.page.inner_text("header")
        assert "running: 3 of 4 rows" in page.page.inner_text("#asked")
        page.page.fill("#find", "b")
        page.page.evaluate("window.before = true")
        campaign.finish_job(["d"])
        write_report([campaign.node], path, Choices(refresh_s=6))
        page.page.evaluate("document.getElementById('hold').click(); window.scrollTo(0, 300)")
        page.page.wait_for_function("window.before === undefined", timeout=60_000)
        page.page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        assert page.page.evaluate("window.scrollY") == 300
        page.page.check("#hold")
        assert page.page.evaluate("R.data.table.ids") == ["a", "b", "d"]
        assert page.page.input_value("#find") == "b"


def test_campaign_before_its_first_row_and_one_of_failures_only(
    make_campaign: Callable[..., Any], browsers: dict[str, Any], tmp_path: Path
) -> None:
    campaign = make_campaign(["max_steps-1", "max_steps-2"])
    path = tmp_path / "failures.html"
    write_report([campaign.node], path)
    with opened(browsers["without"], path) as page:
        assert_sound(page, "bars")
        assert page.page.query_selector("#rows") is None
    campaign.finish_job(["max_steps-1", "max_steps-2"])
    campaign.set_results(["max_steps-1", "max_steps-2"])
    campaign.end(campaign.node)
    write_report([campaign.node], path)
    with opened(browsers["without"], path) as page:
        assert_sound(page, "bars", "periodic", "table")
        assert "max_steps" in page.page.inner_text("#funnel")
        assert page.ids() == ["max_steps-1", "max_steps-2"]


def test_single_crystal(single: Path, browsers: dict[str, Any]) -> None:
    with opened(browsers["webgl"], single) as page:
        assert_sound(page, "bars", "steps", "periodic")
        assert page.page.inner_text("#detail .kind-structure .key") == "W"
