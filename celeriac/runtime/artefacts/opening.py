"""Which artefact root the setting names. Rule: the library for S3 is loaded only where it is used."""

from pathlib import Path

from celeriac.domain.errors import ExtraMissing
from celeriac.runtime.artefacts.api import Artefacts
from celeriac.runtime.artefacts.directory import Directory


def open_artefacts(root: str) -> Artefacts:
    """The artefact root that the setting names: a directory, or an address such as `s3://bucket/prefix`.

    Raises SettingInvalid for an address of another kind, ExtraMissing when the library for S3 is not there.
    """
    if "://" not in root:
        return Directory(Path(root))
    try:
        from celeriac.runtime.artefacts.remote import Remote

        return Remote(root)
    except ImportError as error:
        raise ExtraMissing(
            f"CELERIAC_ARTEFACT_ROOT={root} needs a library that is not installed ({error}): pip install 'celeriac[s3]'"
        ) from error
