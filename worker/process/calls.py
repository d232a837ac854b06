"""From a study's words to what is called with a `Trial`: an objective of ours, one written for Optuna, or a command.

A fork server imports what its own objective needs: a slot's first trial waits for that import.
"""

from worker.process.objective import Objective, enter, load

OPTUNA, COMMAND = "optuna", "command"


def callable_of(code_root: str, objective: str, api: str) -> Objective:
    """What to call; the code root becomes the current directory and first on the path. Raises Unusable."""
    if api == COMMAND:
        from worker.process import command

        enter(code_root, objective)
        return command.Command(objective, code_root)
    loaded = load(code_root, objective)
    if api == OPTUNA:
        from worker.process import optuna_trial

        return optuna_trial.called_as_by_optuna(loaded)
    return loaded
