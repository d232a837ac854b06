"""`python -m celeriac.cli` is the `celeriac` command."""

from celeriac.cli.main import main

main()
