"""Pictures that fill the screen, photographs, the tour, and units at random, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import site_factory
from visits import Visit, violations

from atlas.site.writer import write_site

UNIT = "layer1.0.conv2/0002.html"
PART = "47 0 172"  # of its third photograph: left, top and side in thousandths


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("pictures")
    facts = site_factory.network(n_blocks=(1, 1))
    write_site(site_factory.contents(facts, asked=site_factory.FEW)[0], out_dir)
    return out_dir


SOURCE = """(each) => {
    const picture = each.querySelector("img, image") ?? each;
    return picture.getAttribute("src") ?? picture.dataset.src ?? picture.getAttribute("href");
}"""


def test_every_picture_of_a_unit_fills_the_screen_one_after_the_other(visit: Visit):
    page = visit.open(UNIT)
    shown = [each.evaluate(SOURCE) for each in page.locator("main [aria-haspopup]").all()]
    assert len(shown) >= 4 and shown[0] == "0002.webp"
    page.locator("main [aria-haspopup]").first.click()
    seen = []
    for _ in shown:
        picture = page.locator("dialog.lightbox figure > :first-child")
        box = picture.bounding_box()
        assert max(box["width"] / 1280, box["height"] / 720) > 0.7
        seen.append(picture.evaluate(SOURCE))
        page.keyboard.press("ArrowRight")
    assert seen == shown
    assert page.inner_text("dialog p span") == f"1 of {len(shown)}"  # round to the first
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("dialog p span") == f"{len(shown)} of {len(shown)}"
    assert visit.path == UNIT  # and not the neighbours' pages


def test_a_picture_is_enlarged_by_keys_and_the_focus_comes_back(visit: Visit):
    page = visit.open(UNIT)
    page.locator("main [aria-haspopup]").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.inner_text("dialog p span").startswith("2 of")
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    assert page.locator("dialog").is_hidden()
    assert page.evaluate(
        "document.activeElement === document.querySelectorAll('main [aria-haspopup]')[1]"
    )


PLACES = """(crop) => {
    const frame = crop.getBoundingClientRect(), image = crop.firstChild.getBoundingClientRect();
    const outline = getComputedStyle(crop, "::after");
    return {
        frame: frame.width,
        image: [frame.left - image.left, frame.top - image.top, image.width],
        outline: [outline.left, outline.top, outline.width].map((text) => Number.parseFloat(text)),
    };
}"""


def test_a_photograph_shows_what_a_unit_sees_and_if_pointed_at_all_of_it(visit: Visit):
    page = visit.open(UNIT)
    link = page.locator(".photographs a").nth(2)
    left, top, side = (int(each) / 1000 for each in PART.split())
    assert link.locator("img").get_attribute("data-part") == PART
    link.scroll_into_view_if_needed()
    crop = link.locator(".crop")
    places = crop.evaluate(PLACES)
    width = places["frame"] / side  # of the whole photograph
    assert places["image"] == pytest.approx([left * width, top * width, width], abs=0.6)
    link.hover()
    places = crop.evaluate(PLACES)
    width = places["frame"]
    assert places["image"] == pytest.approx([0, 0, width], abs=0.1)
    assert places["outline"] == pytest.approx([left * width, top * width, side * width], abs=0.6)
    assert crop.evaluate("crop => getComputedStyle(crop).overflow") == "visible"  # at edges as well
    link.click()
    large = page.locator("dialog.lightbox .crop").evaluate(PLACES)
    assert large["frame"] > 400 and large["image"][2] == pytest.approx(large["frame"], abs=0.1)
    assert "outlined is the part that the unit sees" in page.inner_text("dialog figcaption")
    assert violations(page) == []


def test_without_scripts_photographs_are_whole_and_lead_to_their_files(browser: Any, served: str):
    with Visit(browser, served, java_script_enabled=False) as plain:
        page = plain.open(UNIT)
        link = page.locator(".photographs a").first
        image, place = link.locator("img").bounding_box(), link.bounding_box()
        assert image["width"] == image["height"] == place["width"]
        link.locator("img").evaluate("image => image.decode()")
        assert link.evaluate("link => link.href === link.firstChild.currentSrc")


def test_the_grid_of_a_layer_shows_the_strongest_photographs_of_each_unit(visit: Visit):
    page = visit.open("layer1.0.conv2/index.html#show=photographs")
    page.wait_for_selector(".parts")
    assert page.locator(".parts").count() == page.locator(".grid li").count() > 3
    cell = page.locator(".cell").nth(2)
    assert cell.locator("img").count() == 4
    image = cell.locator("img").nth(2)
    assert "/photographs/p0000.webp" in image.get_attribute("src")
    frame = cell.locator(".crop").nth(2)
    left, _, side = (int(each) / 1000 for each in PART.split())
    places = frame.evaluate(PLACES)
    assert places["image"][0] == pytest.approx(left / side * places["frame"], abs=0.6)
    page.select_option("[name=show]", "thumbs")
    assert page.locator(".parts").count() == 0
    assert violations(page) == []


def test_a_lecture_has_the_full_screen(visit: Visit):
    page = visit.open(UNIT)
    page.locator("main [aria-haspopup]").first.click()
    page.click("dialog button:text-is('Full screen')")
    page.wait_for_selector(":fullscreen")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.fullscreenElement.innerText").startswith("Inhib")
    page.click("dialog button:text-is('Close')")
    page.wait_for_selector(":fullscreen", state="detached")
    assert page.locator("dialog").is_hidden()


def test_an_enlarged_picture_has_no_barrier_and_no_double_ids(visit: Visit):
    page = visit.open(UNIT)
    page.locator("main [aria-haspopup]").last.click()
    assert violations(page) == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len({*ids})


def test_links_to_other_units_stay_links(visit: Visit):
    page = visit.open(UNIT)
    assert page.locator("main a [aria-haspopup]").count() == 0


def test_arrows_go_through_the_tour_and_stop_at_its_ends(visit: Visit):
    page = visit.open("tour.html")
    steps = page.locator(".steps > li")
    assert steps.count() == 7
    assert page.inner_text(".slides span") == "1 of 7"
    for number in (2, 3, 4):
        page.keyboard.press("ArrowRight")
        assert page.inner_text(".slides span") == f"{number} of 7"
        assert abs(steps.nth(number - 1).bounding_box()["y"]) < 5
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.inner_text(".slides span") == "7 of 7"
    for _ in range(7):
        page.click("button[aria-label='Previous step']")
    assert page.evaluate("scrollY") == 0 and page.inner_text(".slides span") == "1 of 7"


@pytest.mark.parametrize(("chance", "path"), [(0, "conv1/0000.html"), (0.999999, "fc/0007.html")])
def test_a_random_unit_is_any_from_the_first_to_the_last(visit: Visit, chance: float, path: str):
    page = visit.open("index.html")
    page.evaluate("(chance) => { Math.random = () => chance; }", chance)
    page.click(".ways button:text-is('Random unit')")
    page.wait_for_url(f"**/{path}")
