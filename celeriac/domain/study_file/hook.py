"""The keys of `schedule.hook`: what runs after a promotion. Rule: a hook that is accepted can be run, or asked."""

import shlex

from celeriac.domain.hooks import HOOK_S, Hook
from celeriac.domain.space import show
from celeriac.domain.study_file.section import Section

_KEYS = frozenset({"command", "url", "secret_env", "timeout"})
_EXAMPLE = "{command: ./reload.sh} or {url: https://…, secret_env: HOOK_SECRET}"


def hook(schedule: Section) -> Hook | None:
    """The schedule's hook; None where there is none, or where what is wrong with it was noted."""
    if schedule.mapping("hook", f"a mapping such as {_EXAMPLE}") is None:
        return None
    section = schedule.section("hook", _KEYS)
    if (section.get("command") is None) == (section.get("url") is None):
        schedule.fail("hook", f"needs a command or a url, one of them: {_EXAMPLE}")
        return None
    url, secret = section.address("url"), section.variable("secret_env")
    if secret and not url:
        section.fail("secret_env", "signs requests to a url; a command gets the coordinator's environment as it is")
    timeout_s = section.seconds("timeout")
    return Hook(_command(section), url, secret, HOOK_S if timeout_s is None else timeout_s)


def _command(section: Section) -> tuple[str, ...]:
    """Its words; text is split as a shell would, and no shell runs it."""
    given = section.get("command")
    if given is None:
        return ()
    if isinstance(given, (list, tuple)) and given and all(isinstance(each, str) and each for each in given):
        return tuple(given)
    words: list[str] = []
    if isinstance(given, str):
        try:
            words = shlex.split(given)
        except ValueError as error:
            section.fail("command", f"{show(given)}: {str(error).lower()}")
            return ()
    if not words:
        section.fail("command", f"must be a command, as text or a list of words, not {show(given)}")
    return tuple(words)
