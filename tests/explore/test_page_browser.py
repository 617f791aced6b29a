"""The page in a real browser: the folder from a disk, and the server; nothing on the console, no address elsewhere."""

import csv
import io
import json
import threading

import pytest

from skyloom.explore.page.build import build
from skyloom.explore.page.server import Server
from skyloom.explore.page.sources import Sources
from tests.browser import CHROMIUM, browser
from tests.explore.page_toy import TEXT
from tests.explore.toy import FILES, N

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


@pytest.fixture(scope="module")
def page():
    """A browser; each test ends without an error in it."""
    with browser() as found:
        found.size(1400, 900)
        yield found


@pytest.fixture(autouse=True)
def quiet(page, folder):
    """What the page said and asked for is looked at after each test."""
    page.said.clear()
    page.asked.clear()
    yield
    assert page.said == []
    own = ("file://" + str(folder), "http://127.0.0.1:", "about:blank", "blob:", "chrome://")
    assert [address for address in page.asked if not address.startswith(own)] == []


@pytest.fixture(scope="module")
def folder(page_results, tmp_path_factory):
    made = tmp_path_factory.mktemp("site")
    build(Sources.of_folder(page_results), made / "index.html")
    return made


@pytest.fixture(scope="module")
def still(folder) -> str:
    """The page from a disk."""
    return f"file://{folder}/index.html"


@pytest.fixture(scope="module")
def live(page_results):
    """The page of a server."""
    server = Server(page_results, 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.address
    server.shutdown()
    server.server_close()
    thread.join()


def text(page, selector: str) -> str:
    return page.run(f"document.querySelector({json.dumps(selector)}).textContent")


def place_of(page, selector: str) -> list[float]:
    """Left, top, width and height, CSS pixels."""
    box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
    return page.run(f"(({{x, y, width, height}}) => [x, y, width, height])({box})")


def search(page, words: str) -> None:
    page.run(f"document.getElementById('query').value = {json.dumps(words)}")
    page.run("document.getElementById('search').requestSubmit()")


def chosen(page) -> str:
    """The galaxy that is shown, once its neighbours are."""
    page.until("document.querySelectorAll('.like .strip').length === 4")
    return text(page, "#galaxy-name")


def test_the_folder_opens_from_a_disk_and_shows_its_galaxies(page, still):
    page.open(still)
    assert text(page, "#count") == f"{N} of {N} galaxies" and page.run("document.title") == "toy: Skyloom"
    drawn = "(() => { const p = skyloom.plane; return p.pixels.filter((c) => c !== p.ground).length; })()"
    page.until(f"{drawn} > 300")
    assert page.run("document.getElementById('colour-choice').value") == "z"


def test_a_click_on_the_map_shows_the_galaxy_under_it(page, still):
    page.open(still)
    x, y = page.run("(() => { const p = skyloom.plane; return p.toScreen(p.x[5], p.y[5]); })()")
    left, top, _, _ = place_of(page, "#marks")
    page.click(left + x, top + y)
    row = page.run("skyloom.plane.row[5]")
    assert chosen(page) == str(10 + row)
    assert page.run("document.querySelectorAll('.images canvas, #galaxy canvas[aria-label^=Spectrum]').length") == 2
    assert page.run("document.querySelectorAll('.like .strip li').length") == 40  # four pairings of ten
    assert f"galaxy={10 + row}" in page.run("location.hash")


def test_a_neighbour_is_the_next_galaxy_and_comes_with_its_image(page, still):
    page.open(f"{still}#galaxy=15")
    assert chosen(page) == "15"
    assert page.run("document.querySelector('.strip canvas').width") == 16
    name = page.run("document.querySelector('.strip button').title")
    page.run("document.querySelector('.strip button').click()")
    page.until(f"document.getElementById('galaxy-name').textContent === '{name}'")
    assert chosen(page) == name


def test_a_galaxy_with_a_posterior_has_its_plots_and_one_without_has_none(page, still):
    page.open(f"{still}#galaxy=12")
    chosen(page)
    page.until("document.querySelectorAll('.pair canvas').length === 2")
    search(page, "60")
    page.until("document.getElementById('galaxy-name').textContent === '60'")
    chosen(page)
    assert page.run("document.querySelectorAll('.pair canvas').length") == 0


def test_search_finds_by_number_and_by_place_and_says_what_it_cannot_find(page, still, page_results):
    import pyarrow.parquet as pq

    table = pq.read_table(page_results / "catalog/galaxies.parquet").to_pylist()
    page.open(still)
    search(page, "23")
    assert chosen(page) == "23"
    search(page, f"{table[40]['ra']:.5f} {table[40]['dec']:+.5f}")
    page.until("document.getElementById('galaxy-name').textContent === '50'")
    page.until("/arcsec from there/.test(document.getElementById('status').textContent)")
    for words, said in (
        ("999", "No galaxy 999"),
        ("M 31", "is a whole number"),
        ("<img src=x onerror=alert(1)>", "whole"),
    ):
        search(page, words)
        page.until(f"document.getElementById('status').textContent.includes({json.dumps(said)})")
    assert page.run("skyloom.find.parse('10:00:24 -02:12:00')") == pytest.approx({"ra": 150.1, "dec": -2.2})
    assert page.run("skyloom.find.parse('10h00m24s +02d12m36s')") == pytest.approx({"ra": 150.1, "dec": 2.21})


def test_the_wheel_zooms_the_drag_moves_and_keys_do_both(page, still):
    page.open(still)
    view = "[skyloom.plane.view.x, skyloom.plane.view.y, skyloom.plane.view.zoom]"
    x, y = page.middle("#marks")
    before = page.run(view)
    page.mouse("mouseWheel", x + 50, y, deltaX=0, deltaY=-200)
    page.until(f"{view}[2] > {before[2]} * 1.2")
    zoomed = page.run(view)
    page.mouse("mousePressed", x, y)
    page.mouse("mouseMoved", x + 80, y)
    page.mouse("mouseReleased", x + 80, y)
    assert page.run(view)[0] < zoomed[0]
    page.run("document.getElementById('marks').focus()")
    for key, test in (("ArrowRight", "[0] >"), ("+", "[2] >"), ("-", "[2] <"), ("ArrowUp", "[1] <")):
        now = page.run(view)
        page.key(key)
        page.until(f"{view}{test} {now[int(test[1])]}")
    page.key("0")
    page.until(f"Math.abs({view}[2] - {before[2]}) < 1e-6")
    page.key("Enter")
    chosen(page)
    first = text(page, "#galaxy-name")
    page.key("n")
    page.until(f"document.getElementById('galaxy-name').textContent === '{int(first) + 1}'")


def test_limits_and_a_lasso_select_and_the_selection_is_saved(page, still):
    page.open(still)
    page.run("document.getElementById('limit-add').click()")
    page.until("document.querySelector('#limits input') !== null")
    page.run("window.slider = document.querySelector('#limits input'), slider.value = 500, true")
    page.run("slider.dispatchEvent(new Event('input'))")
    page.until(f"/^(29|30|31) of {N} /.test(document.getElementById('count').textContent)")
    page.run("document.getElementById('clear').click()")
    page.until(f"document.getElementById('count').textContent.startsWith('{N} of')")
    page.run("document.getElementById('tool-lasso').click()")
    left, top, width, height = place_of(page, "#marks")
    corners = [(0.5, 0.01), (0.99, 0.01), (0.99, 0.99), (0.5, 0.99)]
    places = [(left + a * width, top + b * height) for a, b in corners]
    page.mouse("mousePressed", *places[0])
    for place in places[1:]:
        page.mouse("mouseMoved", *place)
    page.mouse("mouseReleased", *places[-1])
    page.until(f"/^(2[6-9]|3[0-4]) of {N} /.test(document.getElementById('count').textContent)")
    count = int(text(page, "#count").split()[0])
    page.run("skyloom.find.save = (name, text) => (window.saved = [name, text])")
    page.run("document.getElementById('export').click()")
    name, saved = page.until("window.saved")
    rows = list(csv.DictReader(io.StringIO(saved)))
    assert name == "toy-selection.csv" and len(rows) == count and {"targetid", "ra", "dec", "z"} <= set(rows[0])
    assert {row["spectype"] for row in rows} == {"GALAXY", TEXT}


def test_a_link_brings_back_what_was_seen(page, still):
    page.open(f"{still}#map=clip-spectrum&colour=mag_g&galaxy=30&view=0.4,0.6,3&limit=z:0.25:0.75")
    assert chosen(page) == "30"
    assert page.run("document.getElementById('map-choice').value") == "1"
    assert page.run("document.getElementById('colour-choice').value") == "mag_g"
    assert page.run("skyloom.plane.view") == {"x": 0.4, "y": 0.6, "zoom": 3}
    assert text(page, "#count") == f"30 of {N} galaxies"
    page.until("location.hash.includes('limit=z')")
    for wrong in ("map=x&colour=__proto__&galaxy=1e9&view=a,b&limit=z:a:b", "limit=%25&view=1,1,0", "lasso=1_2~x"):
        page.open(f"{still}#{wrong}")
        assert text(page, "#count") == f"{N} of {N} galaxies"


def test_text_of_the_data_stays_text(page, still):
    page.open(f"{still}#colour=spectype&galaxy=13")
    chosen(page)
    assert TEXT in text(page, "#legend") and TEXT in text(page, "#galaxy")
    assert page.run("document.title") == "toy: Skyloom"
    assert page.run("document.querySelectorAll('body script').length") == 0


def test_the_policy_of_the_page_lets_no_code_be_made_nor_anything_be_fetched_elsewhere(page, still):
    page.open(still)
    assert page.run("(() => { try { return new Function('return 1')(); } catch { return 'no'; } })()") == "no"
    assert page.run("fetch('http://127.0.0.1:9/').then(() => 'yes', () => 'no')") == "no"
    page.said.clear()  # which the browser says
    page.asked.clear()


def test_anomalies_are_listed_with_their_cause_and_open_their_galaxy(page, still):
    page.open(still)
    assert (
        page.run("[...document.querySelectorAll('#anomalies button')].map((b) => b.textContent)") == ["wrong image"] * 3
    )
    page.run("document.querySelector('#anomalies button').click()")
    assert chosen(page) == str(9 + N)
    assert "no place on this map" in text(page, "#status")


def test_a_file_is_refused_by_a_folder_with_the_command_that_takes_it(page, still):
    page.open(still)
    assert "python -m skyloom.explore results/toy" in text(page, "#drop-words")
    assert page.run("document.getElementById('file').disabled")
    drop(page, "x.txt", "hello")
    page.until("document.getElementById('status').textContent.includes('without a server')")


def drop(page, name: str, content: str) -> None:
    """Let go of a file over the page."""
    page.run("window.data = new DataTransfer(), true")
    page.run(f"data.items.add(new File([{json.dumps(content)}], {json.dumps(name)})), true")
    event = "new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})"
    page.run(f"document.getElementById('drop').dispatchEvent({event})")


def test_the_page_of_a_server_shows_the_same_and_takes_files(page, live, still, results):
    page.open(f"{live}#galaxy=15")
    assert chosen(page) == "15"
    names = "[...document.querySelectorAll('.strip button')].map((b) => b.title)"
    served = page.run(names)
    page.open(f"{still}#galaxy=15")
    chosen(page)
    assert page.run(names) == served
    page.open(live)
    page.give_file("#file", results[0] / FILES["images"])
    page.until("document.getElementById('status').textContent.startsWith('The like of')")
    page.until("document.querySelectorAll('#galaxy .strip').length === 2")
    assert page.run("document.querySelector('#galaxy .strip button').title") == "10"


def test_a_file_that_is_none_is_said(page, live):
    page.open(live)
    drop(page, "x.fits", "not a file")
    page.until("/not a readable FITS/.test(document.getElementById('status').textContent)")
    assert len(page.said) == 1 and "400" in page.said[0]  # which the browser notes for each refusal
    page.said.clear()


def test_a_phone_shows_all_of_it_without_a_sideways_scroll_in_both_colours(page, still):
    try:
        page.size(390, 844, phone=True, dark=True)
        page.open(f"{still}#galaxy=15")
        chosen(page)
        assert page.run("document.documentElement.scrollWidth") == 390
        dark = page.run("getComputedStyle(document.body).backgroundColor")
        page.size(390, 844, phone=True)
        page.until(f"getComputedStyle(document.body).backgroundColor !== {json.dumps(dark)}")
    finally:
        page.size(1400, 900)


def test_everything_has_a_name_for_a_screen_reader(page, still):
    page.open(f"{still}#galaxy=15")
    chosen(page)
    page.run("document.getElementById('limit-add').click()")
    page.until("document.querySelector('#limits input') !== null")
    page.call("Accessibility.enable")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "combobox", "slider", "searchbox", "checkbox", "application", "img", "textbox")
    asked = [node for node in nodes if not node.get("ignored") and node["role"]["value"] in roles]
    nameless = [node["role"]["value"] for node in asked if not node.get("name", {}).get("value")]
    assert len(asked) > 50 and nameless == []
    page.call("Accessibility.disable")
