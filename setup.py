"""Which packages the wheel holds. The rest of the project's metadata is in pyproject.toml.

The migrations stand at the top of the repository, where people look for them, and are installed as data of `celeriac`:
a top-level package of so common a name would be in the way of others'. pyproject.toml can't say that beside `find`.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["celeriac*", "coordinator*", "worker*"]),
        "hydra_plugins",  # a namespace, which an editable install shows to Hydra only where it is named
        "hydra_plugins.celeriac_sweeper",
        "celeriac.migrations",
        "celeriac.migrations.versions",
    ],
    package_dir={"celeriac.migrations": "migrations"},
)
