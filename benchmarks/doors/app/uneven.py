"""A Hydra program whose jobs take unevenly long: how long is the job's number's doing, alike for every sweeper."""

import json
import random
import time
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig


@hydra.main(config_path=None, config_name="uneven", version_base="1.3")  # type: ignore[untyped-decorator]
def main(cfg: Any) -> float:
    began = time.time()
    length_s = min(random.Random(HydraConfig.get().job.num).lognormvariate(1.4, 0.7), 12.0)
    time.sleep(length_s)
    with open(cfg.log, "a") as log:
        log.write(json.dumps({"job": HydraConfig.get().job.num, "from": began, "to": time.time()}) + "\n")
    return float((cfg.x - 0.3) ** 2)


if __name__ == "__main__":
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="uneven", node={"x": 0.5, "log": "???"})
    main()
