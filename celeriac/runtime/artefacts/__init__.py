"""The artefact root: where models are kept and champions are published. A directory, or S3."""

from celeriac.runtime.artefacts.api import ArtefactDamaged as ArtefactDamaged
from celeriac.runtime.artefacts.api import Artefacts as Artefacts
from celeriac.runtime.artefacts.api import ArtefactsUnavailable as ArtefactsUnavailable
from celeriac.runtime.artefacts.api import version_of as version_of
from celeriac.runtime.artefacts.opening import ARTEFACT_ROOT as ARTEFACT_ROOT
from celeriac.runtime.artefacts.opening import CHECKPOINTS as CHECKPOINTS
from celeriac.runtime.artefacts.opening import open_artefacts as open_artefacts
from celeriac.runtime.artefacts.opening import opened_later as opened_later
