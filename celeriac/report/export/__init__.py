"""A study for other tools: Optuna's storage, Parquet, MLflow, TensorBoard. A tool's library is loaded when asked for.

    written = exported("optuna", found, "digits.db")

Rule: one way. What is written is made of the study's rows as they are, nothing is rounded, and nothing is read back.
"""

from importlib import import_module

from celeriac.report.export.study import Exported

__all__ = ["TOOLS", "Exported", "exported", "usual_place"]

#: Where each tool's export goes when nobody says where.
TOOLS = {"optuna": "{study}.db", "parquet": "{study}.parquet", "mlflow": "", "tensorboard": "{study}-tensorboard"}


def usual_place(tool: str, study: str) -> str:
    """Where a study's export goes by default; "" where the tool itself knows a place."""
    return TOOLS[tool].format(study=study)


def exported(tool: str, found: Exported, out: str) -> int:
    """Write the study for that tool; how many trials it was. Raises ExtraMissing, CallerError where `out` cannot take
    it, and OSError.
    """
    count: int = import_module(f"celeriac.report.export.{tool}").write(found, out)
    return count
