"""What a visitor, a crawler or a program finds on a built site."""

import dataclasses
import gzip
import itertools
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import site_factory
from site_factory import EVIL
from site_reader import Page, read_pages, resolve

from atlas import paths
from atlas.site.drawing import draw, residual
from atlas.site.network_pages import about_view, index_view
from atlas.site.templates import breakable
from atlas.site.writer import write_site
from atlas.units import WHOLE_LAYER, Unit

CITED = {
    "arxiv.org",
    "distill.pub",
    "doi.org",
    "towardsdatascience.com",
    "wordnet.princeton.edu",
}


def check_links(site: Path) -> None:
    pages = read_pages(site)
    for path, page in pages.items():
        for target in page.targets:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                assert path == "about.html" and url.hostname in CITED, (path, target)
                continue
            assert not url.path.startswith("/"), (path, target)
            found = resolve(path, target) if url.path else path
            assert (site / found).is_file(), (path, target)
            if url.fragment and "=" not in url.fragment:  # with it, it is a view of the page
                assert url.fragment in pages[found].ids, (path, target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("whole")
    write_site(site_factory.contents()[0], out_dir)
    return out_dir


@pytest.fixture(scope="module")
def partial_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some units, some of them with one picture only, a layer with none, one dead unit."""

    def wanted(unit: Unit, kind: str) -> bool:
        if unit.layer == "layer1.1.conv3":
            return False
        if unit.index == 2:
            return kind == "filter"
        return unit.index < 4 if kind == "excitatory" else unit.index in (3, WHOLE_LAYER)

    contents, _ = site_factory.contents(wanted=wanted)
    with site_factory.changed_numbers(contents, "layer1.0.conv2:1", "excitatory") as numbers:
        numbers["dead"] = True
    out_dir = tmp_path_factory.mktemp("partial")
    write_site(contents, out_dir)
    return out_dir


def test_every_link_of_a_whole_site_resolves(site: Path) -> None:
    check_links(site)


def test_every_link_of_a_partial_site_resolves(partial_site: Path) -> None:
    check_links(partial_site)


def test_every_unit_has_its_page_and_picture(site: Path) -> None:
    facts = site_factory.network()
    for layer in facts.layers:
        assert (site / layer.name / "index.html").is_file()
        for unit in layer.units:
            assert (site / layer.name / f"{unit.index:04d}.html").is_file()
            assert (site / layer.name / f"{unit.index:04d}.webp").is_file()


def test_a_partial_site_lists_what_is_missing(partial_site: Path) -> None:
    pages = read_pages(partial_site)
    assert "11 units not rendered yet: 4–14" in pages["conv1/index.html"].text
    empty = pages["layer1.1.conv3/index.html"]
    assert "20 units not rendered yet: 0–19" in empty.text
    assert "layer1.1.conv3/0000.html" not in pages
    assert "excitatory picture of this unit is not rendered yet" in pages["conv1/0002.html"].text
    assert "1 unit without an excitatory picture yet: 2" in pages["conv1/index.html"].text
    assert "units rendered so far" in pages["index.html"].text


def test_a_site_without_excitatory_pictures_yet_says_so_and_begins_with_others(
    tmp_path: Path,
) -> None:
    facts = site_factory.network(n_blocks=(1,))
    conv1, fc = facts.layers[0], facts.layers[-1]

    def wanted(unit: Unit, kind: str) -> bool:
        if kind == "examples":
            return unit.layer == conv1.name
        return kind != "excitatory" or unit.id == fc.unit(0).id

    write_site(site_factory.contents(facts, wanted)[0], tmp_path)
    pages = read_pages(tmp_path)
    assert f"1 of {facts.n_units} excitatory pictures so far" in pages["index.html"].text
    assert "dead units so far" in pages["index.html"].text
    expected = {
        conv1.name: (
            "15 units without an excitatory picture yet: 0–14",
            "examples filters inhibitory",
        ),
        facts.layers[1].name: (
            "5 units without an excitatory picture yet: 0–4",
            "filters inhibitory",
        ),
        fc.name: ("7 units without an excitatory picture yet: 1–7", "thumbs inhibitory filters"),
    }
    for name, (words, sheets) in expected.items():
        assert words in pages[f"{name}/index.html"].text
        html = (tmp_path / name / "index.html").read_text()
        told = re.search(r'data-sheets="([^"]*)"', html)
        assert told
        stems = [sheet.partition(":")[0] for sheet in told[1].split(";")]
        assert " ".join(stems) == sheets


def test_a_unit_says_what_it_is_in_and_leads_up_from_step_to_step(site: Path) -> None:
    pages = read_pages(site)
    unit = pages["layer2.0.conv2/0003.html"]
    words = " ".join(unit.text.split())
    assert "The network layer2 layer2.0.conv2 24 layer2.0.conv2, unit 3 " in words
    up = [link for link in unit.targets if link in ("index.html", "../index.html#stage-3")]
    assert up == ["../index.html#stage-3", "index.html"]
    ids = [each.get("id") or "" for each in pages["index.html"].all("section")]
    stages = [each for each in ids if each.startswith("stage-")]
    assert stages[:4] == ["stage-1", "stage-2", "stage-3", "stage-4"]
    named = " ".join(pages["fc/0003.html"].text.split())
    assert "classifier fc cranecrane great grey owl " in named and "fc, " not in named


def test_dead_units_are_said_to_be_dead(partial_site: Path) -> None:
    pages = read_pages(partial_site)
    assert "A dead unit." in pages["layer1.0.conv2/0001.html"].text
    assert "dead" in pages["layer1.0.conv2/index.html"].text
    assert "A dead unit." not in pages["layer1.0.conv2/0000.html"].text


def test_labels_are_escaped_everywhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert "<script>alert" not in path.read_text(encoding="utf-8"), path
    pages = read_pages(site)
    for path in ("fc/0001.html", "fc/index.html", "classes.html"):
        assert EVIL in pages[path].text, path
    picture = next(image for image in pages["fc/0001.html"].all("img"))
    assert EVIL in str(picture["alt"])


def test_equal_labels_keep_separate_pages(site: Path) -> None:
    pages = read_pages(site)
    assert "class 2 of 8" in pages["fc/0002.html"].text
    assert "class 4 of 8" in pages["fc/0004.html"].text
    links = [link["href"] for link in pages["classes.html"].all("a")]
    assert {"fc/0002.html", "fc/0004.html"} <= set(links)


def test_every_picture_has_an_alt_text(site: Path) -> None:
    """An empty one where the picture only goes with the words of a link to what it shows."""
    for path, page in read_pages(site).items():
        links = {str(link["href"]) for link in page.all("a")}
        for image in page.all("img"):
            shown = str(image["src"]).replace(".webp", ".html")
            assert image["alt"] or (image["alt"] == "" and shown in links), path
        for drawing in page.all("svg"):
            assert drawing.get("aria-label") or drawing.get("aria-hidden") == "true", path


def test_pages_have_title_description_language_and_one_heading(site: Path) -> None:
    titles = []
    for path, page in read_pages(site).items():
        assert page.all("html")[0]["lang"] == "en"
        assert len(page.all("h1")) == 1 and len(page.all("main")) == 1, path
        names = {meta.get("name"): meta.get("content") for meta in page.all("meta")}
        assert names["description"] and names["viewport"], path
        titles.append(page.text.split("\n")[0])
    ids = [page.all("title") for page in read_pages(site).values()]
    assert all(ids)


def test_nothing_inline_and_nothing_from_elsewhere(site: Path) -> None:
    for path, page in read_pages(site).items():
        policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv"))
        assert policy and "unsafe" not in policy and "http" not in policy, path
        for _, attributes in page.tags:
            assert "style" not in attributes, path
            assert not any(name.startswith("on") for name in attributes), path
        if path != "404.html":  # the policy of 404.html names its script by its digest
            assert all("src" in script for script in page.all("script")), path
            assert not page.all("style"), path


def test_the_policy_of_404_allows_exactly_its_script_and_style(site: Path) -> None:
    import base64
    import hashlib

    html = (site / "404.html").read_text(encoding="utf-8")
    for tag in ("script", "style"):
        source = re.search(f"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL)
        assert source
        digest = base64.b64encode(hashlib.sha256(source[1].encode()).digest()).decode()
        assert f"{tag}-src &#39;sha256-{digest}" in html.replace("'", "&#39;")


def test_unit_page_says_what_was_measured(site: Path) -> None:
    pages = read_pages(site)
    channel = pages["layer1.0.conv2/0002.html"].text
    assert "Strongest position of the picture+10.50 σ" in channel
    assert "The average of all positions is +2.00 σ, and was −0.10 σ on the first noise." in channel
    assert "fourier 1, standard" in channel and "0123456789ab" in channel
    words = pages["fc/0003.html"].text
    assert "+23.00" in words and "93.0 %" in words and "1 of 8" in words


def test_units_are_chained_in_order(site: Path) -> None:
    pages = read_pages(site)
    path, seen = "conv1/0000.html", []
    for _ in range(30):
        seen.append(path)
        onward = [a["href"] for a in pages[path].all("a") if a.get("rel") == "next"]
        if not onward:
            break
        path = resolve(path, str(onward[0]))
    assert seen == [f"conv1/{index:04d}.html" for index in range(15)]


def test_manifest_and_units_point_to_files(partial_site: Path) -> None:
    manifest = json.loads((partial_site / "manifest.json").read_bytes())
    assert manifest["schema"] == 3 and manifest["network"]["sha256"] == "0123456789abcdef" * 4
    n_pages = 0
    for layer in manifest["layers"]:
        assert (partial_site / layer["page"]).is_file()
        units = json.loads((partial_site / layer["units"]).read_bytes())["units"]
        assert [unit["index"] for unit in units] == list(range(layer["n_units"]))
        for unit in units:
            n_pages += unit["page"] is not None
            assert unit["page"] is None or (partial_site / unit["page"]).is_file()
            for picture in unit["pictures"].values():
                assert (partial_site / picture.get("path", picture.get("sheet"))).is_file()
    assert n_pages == manifest["counts"]["pages"] == sum(x["n_pages"] for x in manifest["layers"])


def test_search_index_names_existing_pages_and_pictures_only(partial_site: Path) -> None:
    script = (partial_site / "search-index.js").read_text()
    index = json.loads(script.removeprefix("self.atlasIndex = ").removesuffix(";\n"))
    assert index["labels"] == list(site_factory.LABELS)
    for name, n_units, *runs in index["layers"]:
        paged, pictured = (
            set(itertools.chain(*(range(first, last + 1) for first, last in each))) for each in runs
        )
        assert pictured < paged or not paged
        for number in range(n_units):
            stem = partial_site / name / f"{number:04d}"
            assert stem.with_suffix(".html").is_file() == (number in paged)
            assert stem.with_suffix(".webp").is_file() == (number in pictured)


def test_network_is_drawn_as_it_is(site: Path) -> None:
    html = (site / "index.html").read_text(encoding="utf-8")
    blocks = re.findall(r'<li class="block (\w+)">', html)
    assert blocks == ["plain", "projection", "identity", "projection", "plain"]
    order = re.findall(r'<a class="tile" href="([^"]+)/index.html">', html)
    assert sorted(order) == sorted(layer.name for layer in site_factory.network().layers)


def test_the_skip_path_is_told_by_the_wiring_whatever_runs_first() -> None:
    layers = site_factory.network(n_blocks=(1,)).layers
    names = [layer.name.removeprefix("layer1.0.") for layer in layers]
    shortcut = layers[names.index("downsample.0")]
    others = [layer for layer in layers if layer is not shortcut]
    first = site_factory.numbered([others[0], shortcut, *others[1:]])
    block = residual(draw(first).rows[1])
    assert block
    assert [layer.name for layer in block.stream] == ["layer1.0.downsample.0"]
    assert [layer.name[-5:] for layer in block.branch] == ["conv1", "conv2", "conv3"]


def test_scripts_are_told_how_pages_are_called(site: Path) -> None:
    script = (site / "static/js/atlas.js").read_text(encoding="utf-8")
    told = json.loads(script.partition("const PATHS = ")[2].partition("; //")[0])
    assert (told["page"], told["index"]) == (paths.UNIT_PAGE, paths.SEARCH_INDEX)


def test_a_unit_page_is_small(site: Path) -> None:
    facts = site_factory.network()
    sizes = [
        (site / paths.unit_page(unit)).stat().st_size
        for layer in facts.layers
        for unit in layer.units
    ]
    assert sum(sizes) / len(sizes) <= 12300 and max(sizes) <= 13900


def test_a_unit_page_with_everything_on_it_travels_in_four_kilobytes(site: Path):
    for path in site.glob("*/[0-9]*.html"):
        assert len(gzip.compress(path.read_bytes(), compresslevel=6)) <= 4000, path


@pytest.fixture(scope="module")
def plain_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network without sums, with a hidden linear layer; photographs would name classes."""
    out_dir = tmp_path_factory.mktemp("plain")
    facts = site_factory.plain_network()
    write_site(site_factory.contents(facts, lambda unit, kind: kind != "natural")[0], out_dir)
    return out_dir


def test_every_link_of_a_network_without_sums_resolves(plain_site: Path) -> None:
    check_links(plain_site)


def test_a_hidden_linear_layer_has_units_and_no_classes(plain_site: Path) -> None:
    pages = read_pages(plain_site)
    unit, layer = pages["classifier.0/0003.html"], pages["classifier.0/index.html"]
    assert "unit 3 of 12, hidden linear layer" in unit.text
    assert "Hidden linear layer in classifier: 12 units" in layer.text
    for page in (unit, layer):  # nothing but the link to the list of classes
        words = page.text + descriptions_of(page)
        assert re.findall(r"\bclass(?:es)?\b", words, re.IGNORECASE) == ["Classes"]
    assert "What unit 3 of classifier.0 in TinyNet wants to see" in descriptions_of(unit)
    assert "What the 12 units of classifier.0 in TinyNet want to see." in descriptions_of(layer)
    # Its numbers are of the one position that it has.
    answers = unit.text.partition("Circuit")[0]
    assert "Response+11.50 σ" in answers and "Plain noise+0.25" in answers
    assert "σ is measured on 64 generated images" in answers
    assert "What the network sees in it" not in unit.text


def descriptions_of(page: Page) -> str:
    return "\n".join(str(meta["content"]) for meta in page.all("meta") if meta.get("name"))


def test_a_hidden_linear_layer_has_no_facts_of_a_convolution(plain_site: Path) -> None:
    text = read_pages(plain_site)["classifier.0/index.html"].text.partition("About")[2]  # the entry
    assert "Weights12 × 196" in text and "Reads196 values" in text
    for word in ("Kernel", "Stride", "Padding", "Map", "Receptive field", "Total stride"):
        assert word not in text
    assert "Readsclassifier.0" in read_pages(plain_site)["classifier.3/index.html"].text


@pytest.mark.parametrize(("n_left_out", "goal"), [(0, "classes"), (1, "last layer")])
def test_the_drawing_leads_to_classes_only_where_there_are_any(n_left_out: int, goal: str) -> None:
    layers = site_factory.plain_network().layers
    facts = site_factory.facts_of(layers[: len(layers) - n_left_out])
    contents, _ = site_factory.contents(facts, wanted=lambda unit, kind: False)
    assert index_view(contents).goal == goal


def test_the_front_page_counts_hidden_linear_layers_apart(plain_site: Path) -> None:
    page = read_pages(plain_site)["index.html"]
    text = " ".join(page.text.split())
    for words in ("convolutions2", "channels10", "hidden linear layer1", "hidden units12"):
        assert words in text
    assert "classes8" in text
    assert "classifier 1 hidden linear layer, 1 classifier, 20 units" in text
    assert "classifier.0 12 units" in text and "classifier.3 8 classes" in text


def test_classes_are_still_classes_after_a_hidden_layer(plain_site: Path) -> None:
    pages = read_pages(plain_site)
    text = " ".join(pages["classifier.3/0003.html"].text.split())
    assert "class 3 of 8, numbered from 0, in the classifier classifier.3" in text
    assert "For it " in text and "classifier.0:0+0.50" in text
    links = [str(link["href"]) for link in pages["classes.html"].all("a")]
    assert "classifier.3/0003.html" in links and "classifier.0/0003.html" not in links


@pytest.mark.parametrize(
    ("name", "html"),
    [
        ("ResNet-50", "ResNet-50"),
        ("EfficientNetLite0", "Efficient<wbr>Net<wbr>Lite0"),
        ("My <b>EfficientNetLite", "My &lt;b&gt;Efficient<wbr>Net<wbr>Lite"),
        ("ABCDEFGHIJKLMNOPQRST", "ABCDEFGHIJKLMNOPQRST"),
        ("ConvNeXt-Tiny and-EfficientNet", "ConvNeXt-Tiny and-EfficientNet"),
        ("layer1.0.conv1", "layer1.0.conv1"),
        (
            "in features.denseblock4.my_conv: 3",
            "in features.<wbr>denseblock4.<wbr>my_<wbr>conv: 3",
        ),
        ("__a_very_long__name..", "__<wbr>a_<wbr>very_<wbr>long__<wbr>name.."),
    ],
)
def test_long_names_may_be_broken_after_dots_and_before_capitals(name: str, html: str) -> None:
    assert breakable(name) == html


def test_a_depthwise_convolution_has_one_input_and_is_called_what_it_is(tmp_path: Path) -> None:
    write_site(site_factory.contents(site_factory.branched_network())[0], tmp_path)
    folder = tmp_path / "gated.0.depth"
    layer = Page((folder / "index.html").read_text(encoding="utf-8")).text
    assert "3 × 3 depthwise convolution in block gated.0: 3 units" in layer
    assert "Groups3, one for each channel" in layer
    unit = Page((folder / "0000.html").read_text(encoding="utf-8")).text
    assert "channel 0 of 3, 3 × 3 depthwise convolution" in unit
    assert "The 3 × 3 kernel for its one input channel." in unit
    assert "inputs count" not in unit and "1 input" not in unit


@pytest.mark.parametrize(
    ("merge", "branch_noise", "is_said"),
    [("sum", 0.6, True), ("sum", 0.0, False), ("", 0.6, False)],
)
def test_the_about_page_says_that_residual_branches_vary_where_they_do(
    merge, branch_noise, is_said
):
    contents, _ = site_factory.contents()
    *others, classes = contents.facts.layers
    facts = dataclasses.replace(
        contents.facts, layers=(*others, dataclasses.replace(classes, merge=merge))
    )
    recipes = dict(contents.spec.layers)
    recipes[classes.name] = {**recipes[classes.name], "branch_noise": branch_noise}
    spec = dataclasses.replace(contents.spec, layers=recipes)
    view = about_view(dataclasses.replace(contents, facts=facts, spec=spec))
    assert view.varies_branches == is_said


def test_the_about_page_gives_settings_without_the_noise_of_binary_numbers():
    contents, _ = site_factory.contents()
    classes = contents.facts.layers[-1].name
    recipes = {**contents.spec.layers, classes: {"lr": 0.1 + 0.2, "momentum": 1.0, "tiny": 1e-7}}
    spec = dataclasses.replace(contents.spec, layers=recipes)
    *_, use = about_view(dataclasses.replace(contents, spec=spec)).recipes
    assert [fact.value for fact in use.settings] == ["0.3", "1.0", "1e-07"]


@pytest.mark.parametrize("rivals", [0.3, 0.0])
def test_the_about_page_says_that_other_classes_are_held_down_where_they_are(rivals):
    contents, _ = site_factory.contents()
    classes = contents.facts.layers[-1].name
    recipes = {**contents.spec.layers, classes: {**contents.spec.layers[classes], "rivals": rivals}}
    spec = dataclasses.replace(contents.spec, layers=recipes)
    view = about_view(dataclasses.replace(contents, spec=spec))
    assert view.holds_others_down == bool(rivals)
