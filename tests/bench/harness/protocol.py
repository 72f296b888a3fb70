"""The protocol module alone: criterion's benchmarks, read from what they leave behind."""

import json
import os
import subprocess
from pathlib import Path

from .chart import Panel
from .job import Data, Job
from .report import number, table
from .servers import HERE


class Alone:
    """Frames, UTF-8, handshakes and control frames, without sockets."""

    title = "The protocol module alone"

    def run(self, job: Job) -> Data:
        """Runs criterion on the server's core."""
        target = job.place.bin.parent
        command = ["cargo", "bench", "--quiet", "--bench", "protocol"]
        subprocess.run(
            command,
            check=True,
            cwd=HERE,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"CARGO_TARGET_DIR": str(target)},
        )
        rows = [self._row(path) for path in target.glob("criterion/*/*/new/benchmark.json")]
        return {"rows": sorted(rows, key=lambda row: row["name"])}

    @staticmethod
    def _row(path: Path) -> Data:
        about = json.loads(path.read_text(encoding="utf-8"))
        times = json.loads(path.with_name("estimates.json").read_text(encoding="utf-8"))["median"]
        elements = (about["throughput"] or {}).get("Elements", 1)
        interval = times["confidence_interval"]
        nanoseconds = [times["point_estimate"], interval["lower_bound"], interval["upper_bound"]]
        return {
            "name": about["full_id"].replace("/", ", "),
            "ns": [value / elements for value in nanoseconds],
        }

    def brief(self, data: Data) -> str:
        """One table."""
        rows = [
            [row["name"], number(row["ns"][0]), f"{number(row['ns'][1])}-{number(row['ns'][2])}"]
            for row in data["rows"]
        ]
        return table(["", "ns each, median", "95 % interval"], rows)

    def text(self, data: Data) -> str:
        """The same."""
        return self.brief(data)

    def panels(self, _data: Data) -> list[Panel]:
        """None."""
        return []
