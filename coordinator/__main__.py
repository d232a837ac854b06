"""`python -m coordinator drive | clock | beat | flower`: one program of the coordinator, until it is told to stop.

`python -m coordinator replay STUDY N` is none of the service's: it asks a study's sampler again for trial N, prints
the parameters as JSON, and ends. `python -m coordinator rescore SAMPLER SEEDS STUDY…` (ids) does so for what another
sampler would have found, and `python -m coordinator preview COUNT` for the first points of the study whose spec stands
on its stdin.

Exit codes: 0 told to stop, or printed; 2 it cannot run as it is set up (a setting, an older or newer database), or
what was asked for is not there.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from celeriac.domain.errors import CeleriacError, SettingInvalid
from celeriac.runtime.settings import Settings

PROGRAMS = {
    "drive": "decides what each study does next, and suggests trials",
    "clock": "ends lapsed leases, sends lost tickets again, fires schedules",
    "beat": "tells the other two that time has passed",
    "flower": "the web view of workers and tickets",
}
#: These never open the database, so a fleet gives them no login to it.
BROKER_ONLY = frozenset({"beat", "flower"})
#: These read rows and end; they need no Redis, so they also run where an embedded service is down.
READS_ONLY = frozenset({"replay", "rescore"})
#: These need neither.
ALONE = frozenset({"preview"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one program; returns its exit code."""
    parser = argparse.ArgumentParser("python -m coordinator", description=__doc__)
    parser.add_argument("--home", type=Path, help="where an embedded stack keeps its state")
    programs = parser.add_subparsers(dest="program", required=True)
    for name, what in PROGRAMS.items():
        programs.add_parser(name, help=what)
    replay = programs.add_parser("replay", help="asks a study's sampler again for one of its trials")
    replay.add_argument("study")
    replay.add_argument("number", type=int)
    rescore = programs.add_parser("rescore", help="estimates what another sampler would have found in past searches")
    rescore.add_argument("sampler")
    rescore.add_argument("seeds", type=int)
    rescore.add_argument("studies", type=int, nargs="+")
    preview = programs.add_parser("preview", help="says the first points of the study whose spec it reads")
    preview.add_argument("count", type=int)
    asked = parser.parse_args(argv)
    program = asked.program
    try:
        settings = Settings.from_env(home=asked.home)
        _require_service(settings, program)
        if program == "replay":
            _replay(settings, asked.study, asked.number)
        elif program == "rescore":
            _rescore(settings, asked.sampler, asked.seeds, asked.studies)
        elif program == "preview":
            _preview(asked.count)
        else:
            _run(program, settings)
    except CeleriacError as error:
        sys.stderr.write(f"coordinator {program}: {error}\n")
        return 2
    return 0


def _require_service(settings: Settings, program: str) -> None:
    if program in ALONE or (program in READS_ONLY and settings.database_url):
        return
    if not (settings.has_service or (program in BROKER_ONLY and settings.broker_url)):
        raise SettingInvalid(
            "neither CELERIAC_DATABASE_URL and CELERIAC_BROKER_URL nor a running stack says where Postgres and Redis "
            f"are (looked for {settings.stack_file}): set both, or start `celeriac up`"
        )


def _run(program: str, settings: Settings) -> None:
    """Load and run; each program loads only what it needs."""
    if program == "flower":
        from coordinator.flower import run_flower

        run_flower(settings)
        return
    from coordinator.app import run_beat, run_worker

    if program == "beat":
        run_beat(settings)
    else:
        run_worker(settings, program)


def _replay(settings: Settings, study: str, number: int) -> None:
    from celeriac.store import open_store
    from coordinator.suggest.replay import replayed

    with closing(open_store(settings.database_url, pool_size=settings.pool_size)) as store:
        print(json.dumps(replayed(store, store.study_named(study).id, number)))


def _rescore(settings: Settings, sampler: str, seeds: int, studies: Sequence[int]) -> None:
    from celeriac.store import open_store
    from coordinator.suggest.rescore import rescored

    with closing(open_store(settings.database_url, pool_size=settings.pool_size)) as store:
        print(json.dumps([rescored(store, each, sampler, seeds) for each in studies]))


def _preview(count: int) -> None:
    from coordinator.suggest.preview import previewed

    print(json.dumps(previewed(json.load(sys.stdin), count)))


if __name__ == "__main__":
    sys.exit(main())
