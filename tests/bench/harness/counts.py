"""System calls and user instructions per message or connection, of our server and of the least one."""

from collections import Counter
from typing import Any

from .chart import Panel
from .counting import CountError, instructions, system_calls
from .job import Data, Job
from .report import paragraphs, table
from .servers import StartError
from .workloads import WORKLOADS

SERVERS = ("ws_own", "echoserver")
STRACED = ("W2", "W3", "W4", "W5", "W6", "churn")
CALLGRINDED = ("W2", "W3", "W6", "churn")


def strace(job: Job, server: str, workload: str) -> Data:
    """Several runs, of which the median tells."""
    count = WORKLOADS[workload].count
    spec = job.servers[server]
    runs = [system_calls(job.place, spec, workload, count) for _ in range(job.rounds)]
    runs.sort(key=Counter.total)
    middle = runs[len(runs) // 2]
    return {
        "calls": [run.total() / count for run in runs],
        "by_name": {name: n / count for name, n in middle.most_common(4)},
    }


def count(job: Job, server: str, workload: str) -> Data:
    """One row."""
    row: dict[str, Any] = {"server": server, "workload": workload, "count": WORKLOADS[workload].count}
    try:
        row |= strace(job, server, workload)
    except (CountError, StartError, OSError) as error:
        row["error"] = str(error)
    if workload in CALLGRINDED:
        try:
            row["instructions"] = instructions(job.place, job.servers[server], workload, row["count"])
        except (CountError, StartError, OSError) as error:
            row["error"] = str(error)
    return row


class Counts:
    """What is the same every time, however busy the machine is."""

    title = "Counts per message, or per connection"

    def run(self, job: Job) -> Data:
        """Counts, server by server."""
        names = [name for name in (*SERVERS, *job.added) if job.keeps(name)]
        return {
            "rows": [count(job, server, workload) for workload in job.chosen(STRACED) for server in names],
            "rounds": job.rounds,
            "texts": {name: job.servers[name].text for name in names},
        }

    def brief(self, data: Data) -> str:
        """One table."""
        head = ["load", "server", "system calls: median (range)", "user instructions", "most frequent"]
        rows = []
        for row in data["rows"]:
            calls, which = "-", row.get("error", "-")
            if "calls" in row:
                all_calls = row["calls"]
                middle = all_calls[len(all_calls) // 2]
                calls = f"{middle:.3f} ({all_calls[0]:.3f}-{all_calls[-1]:.3f})"
                which = ", ".join(f"{name} {n:.3f}" for name, n in row["by_name"].items())
            user = f"{row['instructions']:,.0f}" if "instructions" in row else "-"
            rows.append([WORKLOADS[row["workload"]].short, data["texts"][row["server"]], calls, user, which])
        return table(head, rows)

    def text(self, data: Data) -> str:
        """How it was counted, and the table."""
        about = (
            f"System calls by strace (median of {data['rounds']} runs), user instructions by callgrind; both slow the "
            "server down, so it finds full batches.\n"
        )
        return paragraphs(about, self.brief(data))

    def panels(self, _data: Data) -> list[Panel]:
        """None: the table says it all."""
        return []
