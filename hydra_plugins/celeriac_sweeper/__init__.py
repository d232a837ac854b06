"""What Hydra finds by itself: `hydra/sweeper=celeriac`. All that it does is in `celeriac.doors.hydra`."""

from hydra.core.config_store import ConfigStore

from celeriac.doors.hydra.sweep import CeleriacSweeperConf, Sweep


class CeleriacSweeper(Sweep):
    """Under the name that Hydra asks for: plugins must live in this package."""


ConfigStore.instance().store(group="hydra/sweeper", name="celeriac", node=CeleriacSweeperConf, provider="celeriac")
