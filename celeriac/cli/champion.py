"""`celeriac best SCHEDULE`: the parameters of its champions, of all slices or of one."""

from celeriac.cli import text
from celeriac.cli.exit_codes import FAILED, OK
from celeriac.cli.hints import command
from celeriac.cli.json_output import print_json
from celeriac.cli.screen import remark, say
from celeriac.client.service import Service
from celeriac.client.study import yaml_of
from celeriac.domain.errors import CallerError
from celeriac.domain.records import Champion
from celeriac.domain.study_file import slice_name


def tell_champions(client: Service, schedule: str, slice_: str | None, *, as_json: bool, as_yaml: bool) -> int:
    """Print each slice's champion, or as YAML their parameters alone. The exit code."""
    found = {slice_name(each.slice): each for each in client.champions(schedule)}
    if slice_ is not None:
        known = [slice_name(each) for each in client.schedule(schedule).slices]
        if slice_ not in known and slice_ not in found:
            raise CallerError(f"schedule {schedule} has no slice {slice_!r}; it has {'; '.join(known) or 'none'}")
        found = {key: each for key, each in found.items() if key == slice_}
    if not found:
        of = "" if slice_ is None else f" for {slice_}"
        remark(
            f"celeriac: schedule {schedule} has no champion{of} yet; see  {command('champions', schedule, '--history')}"
        )
        return FAILED
    if as_json:
        print_json(list(found.values()))
    elif as_yaml:
        print(_as_yaml(found, alone=slice_ is not None), end="")
    else:
        for key, each in found.items():
            _tell(key, each)
    return OK


def _as_yaml(found: dict[str, Champion], *, alone: bool) -> str:
    if alone or list(found) == [""]:
        return yaml_of(next(iter(found.values())).params)
    parts = []
    for key, each in found.items():
        lines = "".join(f"  {line}\n" for line in yaml_of(each.params).splitlines())
        parts.append(f'"{key}":\n{lines}')
    return "".join(parts)


def _tell(key: str, champion: Champion) -> None:
    where = f"{champion.schedule} {key}".strip()
    say(f"\n{where}: trial {champion.trial} of {champion.study}, {text.number(champion.score)}", "bold")
    say(champion.reason)
    say("\n" + yaml_of(champion.params).rstrip())
