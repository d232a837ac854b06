"""The Python API. Rule: what a person may ask of the service, in the words of the lifecycle, and nothing that decides.

    from celeriac import Client

    study = Client().submit("study.yaml")
    study.wait()
    study.best.params

`celeriac.tune` does the same for a function at hand. Importing this loads neither SQLAlchemy nor Celery: they come with
the first call that needs them.
"""

from celeriac.client.client import Client
from celeriac.client.service import Submission
from celeriac.client.study import Study
from celeriac.client.tune import tune

__all__ = ["Client", "Study", "Submission", "tune"]
