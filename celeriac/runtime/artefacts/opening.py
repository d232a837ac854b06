"""Which artefact root the setting names. Rule: the library for S3 is loaded only where it is used."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from celeriac.domain.errors import ExtraMissing
from celeriac.runtime.artefacts.api import Artefacts
from celeriac.runtime.artefacts.directory import Directory

ARTEFACT_ROOT, CHECKPOINTS = "CELERIAC_ARTEFACT_ROOT", "CELERIAC_CHECKPOINTS"


def open_artefacts(root: str, setting: str = ARTEFACT_ROOT) -> Artefacts:
    """The artefact root that the `setting` names: a directory, or an address such as `s3://bucket/prefix`.

    Raises SettingInvalid for an address of another kind, ExtraMissing when the library for S3 is not there.
    """
    if "://" not in root:
        return Directory(Path(root))
    try:
        from celeriac.runtime.artefacts.remote import Remote

        return Remote(root, setting)
    except ImportError as error:
        raise ExtraMissing(
            f"{setting}={root} needs a library that is not installed ({error}): pip install 'celeriac[s3]'"
        ) from error


def opened_later(root: str, setting: str) -> Callable[[], Artefacts]:
    """What opens that root when it is first needed, which takes a while for S3, and gives the same one each time."""
    return cache(lambda: open_artefacts(root, setting))
