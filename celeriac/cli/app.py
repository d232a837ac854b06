"""All commands in one list: a name, the function that carries it out, and where it stands in the help."""

from collections.abc import Callable

import typer

from celeriac.cli import (
    admin,
    advising,
    agents,
    joining,
    logins,
    morning,
    plots,
    promotions,
    proposing,
    rescoring,
    rungs,
    schedules,
    studies,
    tokens,
    trials,
    waiting,
)

# Plain help: rich's takes as long to load as everything else together.
app = typer.Typer(
    name="celeriac",
    help="Hyperparameter tuning as a service: one YAML file in, a proven champion out.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _front(
    context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version and end.")
) -> None:
    if version:
        from celeriac import __version__

        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


_COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (admin.up, "start the service on this machine"),
    (admin.down, "stop it"),
    (studies.run, "run a study and show it live"),
    (studies.submit, "open a study and return at once"),
    (studies.watch, "show a study live until it ends"),
    (studies.status, "studies and workers, or one study"),
    (trials.trials, "a study's trials"),
    (waiting.why, "why a study or a trial waits"),
    (rungs.rungs, "who was stopped early, and where"),
    (trials.best, "its best trial, and how to use it"),
    (agents.compare, "trials or studies side by side"),
    (trials.logs, "what a trial printed"),
    (plots.importance, "which parameters mattered"),
    (plots.plot, "pictures, as PNG and as pages"),
    (plots.export, "trials as CSV or JSON, for other tools"),
    (studies.pause, "start no more trials of a study"),
    (studies.resume, "go on with it"),
    (studies.stop, "end it now"),
    (trials.cancel, "end one trial"),
    (studies.extend, "give it a larger budget"),
    (studies.reopen, "go on after its end"),
    (trials.retry, "run failed trials once more"),
    (proposing.add_points, "have your own points tried next"),
    (studies.delete, "delete it for good"),
    (promotions.champions, "the champion of each slice"),
    (promotions.champion, "one champion and its evidence"),
    (promotions.approve, "make what waits the champion"),
    (promotions.reject, "say no to what waits"),
    (promotions.promote, "make a trial champion by hand"),
    (promotions.rollback, "put the champion before back"),
    (morning.morning, "what the last night changed"),
    (joining.worker, "be a host's node, or a Slurm job"),
    (agents.mcp, "serve agents (MCP)"),
    (admin.workers, "hosts, devices, slots"),
    (admin.drain, "take a host or devices out"),
    (admin.undrain, "give them back"),
    (advising.advise, "which share of a GPU fits a study"),
    (logins.login, "keep a token for a service elsewhere"),
    (logins.logout, "forget it"),
    (admin.prune, "drop old reports, logs, checkpoints"),
    (admin.migrate, "bring the database up to date"),
    (admin.init, "write .env for docker compose"),
    (admin.doctor, "check what the service needs here"),
)
for _command, _summary in _COMMANDS:
    app.command(short_help=_summary)(_command)
app.add_typer(rescoring.app, short_help="past nights under other settings")
app.add_typer(tokens.app, short_help="who may use the board and the API")
app.add_typer(schedules.app, short_help="studies that run again by the clock")
