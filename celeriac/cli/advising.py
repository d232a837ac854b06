"""`celeriac advise STUDY`: which share of a GPU fits it, by what its trials took."""

from dataclasses import asdict

from celeriac.cli.json_output import print_json
from celeriac.cli.screen import say
from celeriac.cli.service import AsJson, Home, StudyName, reached


def advise(study: StudyName, home: Home = None, as_json: AsJson = False) -> None:
    """Say which share of a GPU a study's trials should have and how many then run at once, with the figures that say
    so.
    """
    with reached(home) as client:
        handle = client.study(study)
        found = handle.advice()
    if as_json:
        print_json({"study": handle.name, **asdict(found)})
        return
    if found.share is None:
        say(f"{handle.name}: nothing to advise yet")
    else:
        say(f"{handle.name}: `resources: {{gpus: {found.share:g}}}`, {found.parallel} at once on a GPU")
    for each in found.reasons:
        say(f"  {each}")
