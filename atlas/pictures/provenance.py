"""XMP metadata inside a picture's file, which says what it shows and how it was made.

Source: ISO 16684-1; Dublin Core, https://www.dublincore.org/specifications/dublin-core/dcmi-terms/
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from atlas import __version__
from atlas.addressing import ArtifactSpec, describe
from atlas.canonical import canonical_json
from atlas.pictures.picture import Picture
from atlas.records import to_numbers
from atlas.units import Layer, NetworkFacts

NAMESPACE = "urn:network-atlas:1"  # an identifier, not a web address
MEASURED = ("z", "z_max", "mean", "mean_max", "logit", "p")  # measured on the picture itself

_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" \
xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:atlas="{namespace}" {attributes}>
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def provenance(
    facts: NetworkFacts, layer: Layer, picture: Picture, spec: ArtifactSpec, title: str
) -> bytes:
    """An XMP packet that says which unit a picture is of, and how it was made.

    Args:
        facts: the network's facts.
        layer: the layer of the picture's unit.
        picture: the picture with its record.
        spec: the complete recipe.
        title: of the picture, with `{unit}` and `{network}` in it.
    """
    unit, numbers = picture.unit, to_numbers(picture.record, layer.score_name)
    measured = {name: numbers[name] for name in MEASURED if name in numbers}
    attributes = {
        "xmp:CreatorTool": f"network-atlas {__version__}",
        "atlas:network": facts.name,
        "atlas:weights": facts.weights,
        "atlas:sha256": facts.sha256,
        "atlas:unit": unit.id,
        "atlas:recipe": canonical_json(describe(spec)),
        "atlas:measured": canonical_json(measured),
    }
    attribute_text = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    text = escape(title.format(unit=unit.id, network=facts.name))
    return _PACKET.format(namespace=NAMESPACE, attributes=attribute_text, title=text).encode()
