"""A reader of `champions/<schedule>/<slice>/current`, as one that serves a model: it follows `current` once, then reads
all of that version, over and over, while champions are published and publishers die.
"""

import hashlib
import json
import threading
from collections import Counter
from pathlib import Path


class Reader:
    """Reads in a thread of its own, for the block. `versions` counts the reads of each version; `wrong` names what was
    not whole, or went back.
    """

    def __init__(self, schedule_root: Path) -> None:
        self._root, self._ended = schedule_root, threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="reader", daemon=True)
        self._newest: dict[str, int] = {}
        self.versions: Counter[int] = Counter()
        self.wrong: list[str] = []

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30.0)

    def _read_on(self) -> None:
        while not self._ended.wait(0.005):
            for current in sorted(self._root.glob("*/current")):
                try:
                    self._read(current.parent.name, current.resolve(strict=True))
                except Exception as error:
                    self.wrong.append(f"{current}: {error!r}")

    def _read(self, slice_: str, version: Path) -> None:
        texts = {name: (version / name).read_text() for name in ("record.json", "params.json", "code.txt", "model")}
        record, params = json.loads(texts["record.json"]), json.loads(texts["params.json"])
        number, sha256 = int(version.name), hashlib.sha256(texts["model"].encode()).hexdigest()
        flaws = {
            "record.json is another version's": record["version"] != number,
            "params.json is another version's": params != record["params"],
            "the model is not the record's": record["model"]["sha256"] != sha256,
            "the model was trained with other parameters": json.loads(texts["model"])["params"] != params,
            "it went back": number < self._newest.get(slice_, 0),
        }
        self.wrong += [f"{version}: {text}" for text, is_so in flaws.items() if is_so]
        self._newest[slice_] = number
        self.versions[number] += 1
