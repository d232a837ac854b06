"""What tables are made of: their one collection, and the kinds of columns that many of them have."""

from sqlalchemy import JSON, BigInteger, Column, DateTime, ForeignKeyConstraint, Integer, MetaData, Text, text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant = DateTime(timezone=True)


def counter(name: str) -> Column[int]:
    """A number that begins at 0."""
    return Column(name, Integer, nullable=False, server_default="0")


def words(name: str) -> Column[str]:
    """A text that may be empty, and is never absent."""
    return Column(name, Text, nullable=False, server_default="")


def of_attempt() -> tuple[Column[int], Column[int], Column[int], ForeignKeyConstraint]:
    """Whose attempt's a row is."""
    return (
        Column("study_id", BigInteger, nullable=False),
        Column("trial", Integer, nullable=False),
        Column("attempt", Integer, nullable=False),
        ForeignKeyConstraint(["study_id", "trial", "attempt"], ["attempt.study_id", "attempt.trial", "attempt.number"]),
    )


def json_object(name: str, kind: type[JSON] | type[JSONB] = JSON) -> Column[object]:
    """An object, at first an empty one."""
    return Column(name, kind, nullable=False, server_default=text("'{}'"))
