"""Vega-Lite by vl-convert (extra `celeriac[plots]`): pictures without a browser, scripts without a network."""

from collections.abc import Mapping
from typing import Any

from celeriac.domain.errors import ExtraMissing

# The grammar that notebooks draw too (see `Chart._repr_mimebundle_`).
_VEGA_LITE = "5.21"
_SCALE = 2.0


def png(spec: Mapping[str, Any]) -> bytes:
    """The picture as PNG, at twice the screen's resolution. Raises ExtraMissing."""
    found: bytes = _vl_convert().vegalite_to_png(dict(spec), vl_version=_VEGA_LITE, scale=_SCALE)
    return found


def svg(spec: Mapping[str, Any]) -> str:
    """The picture as SVG. Raises ExtraMissing."""
    found: str = _vl_convert().vegalite_to_svg(dict(spec), vl_version=_VEGA_LITE)
    return found


def scripts() -> str:
    """Vega, Vega-Lite and their embedding as one script (0.9 MB). Raises ExtraMissing."""
    found: str = _vl_convert().javascript_bundle(vl_version=_VEGA_LITE)
    return found


def _vl_convert() -> Any:
    try:
        import vl_convert
    except ImportError as error:
        raise ExtraMissing(f"pictures need vl-convert ({error}): pip install 'celeriac[plots]'") from error
    return vl_convert
