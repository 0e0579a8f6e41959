"""The size of a site, part by part, and what is said when it comes near a limit."""

from atlas.site.budget import Part, parts_of, warnings


def test_files_are_counted_by_what_they_are() -> None:
    sizes = {
        "index.html": 10,
        "conv1/0001.html": 20,
        "conv1/0001.webp": 300,
        "conv1/cover.webp": 50,
        "conv1/inhibitory-00.webp": 400,
        "like/cat-12345678.webp": 90,  # all digits after the dash, as sheets have
        "like/12345678.webp": 4,
        "like/cat-12345678.html": 1,
        "conv1/units.json": 5,
        "conv1/compared.js": 2,
        "conv1/values.js": 8,
        "search-index.js": 6,
        "static/js/atlas.js": 7,
    }
    assert parts_of(sizes) == (
        Part("inhibitory", 1, 400),
        Part("pictures", 2, 350),
        Part("on demand", 2, 94),
        Part("pages", 3, 31),
        Part("data", 4, 21),
        Part("other", 1, 7),
    )


def test_a_site_far_below_the_limits_is_not_spoken_of() -> None:
    assert (
        warnings((Part("pages", 27_000, 250_000_000), Part("pictures", 30_000, 600_000_000))) == ()
    )


def test_too_many_bytes_are_said_with_what_saves_most_of_them() -> None:
    parts = (
        Part("pictures", 30_000, 600_000_000),
        Part("examples", 3_000, 250_000_000),
        Part("inhibitory", 3_000, 70_000_000),
    )
    (warning,) = warnings(parts)
    assert "920 MB" in warning and "--leave-out examples, which saves 250 MB" in warning


def test_too_many_files_are_said_with_what_saves_most_of_them() -> None:
    parts = (Part("pages", 63_000, 1), Part("examples", 1_000, 9), Part("inhibitory", 2_000, 5))
    (warning,) = warnings(parts)
    assert "66,000 files" in warning and "--leave-out inhibitory" in warning


def test_where_nothing_can_be_left_out_there_is_another_remedy() -> None:
    (warning,) = warnings((Part("pages", 65_001, 1),))
    assert "fewer layers" in warning


def test_images_that_were_looked_up_are_no_kind_that_can_be_left_out() -> None:
    """Their names end in digests, and a digest may look like the number of a sheet."""
    parts = parts_of({"like/examples-12345678.webp": 950_000_000, "fc/twins-00.webp": 7_000_000})
    assert parts == (Part("on demand", 1, 950_000_000), Part("twins", 1, 7_000_000))
    (warning,) = warnings(parts)
    assert "--leave-out twin, which saves 7 MB" in warning
