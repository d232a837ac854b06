"""Alembic's migrations, one file a step, NNNN_verb_noun. They ship with the package: `celeriac migrate` runs them."""
