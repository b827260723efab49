"""Chaos: kill the server with -9 at random moments of an execution, restart it, look for lies.

    python -m bench.chaos --times 200 [--seed N]
    python -m bench.chaos --sabotage        # can the checks fail? every one of them is made to

Every round starts one execution (chaos_pipeline.py) and two writers beside it, kills the server
once at a random moment, starts it again in the same home, waits for the end of the execution and
asks chaos_checks.py what is wrong. Exit code 1 on a violation.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from bench import chaos_sabotage
from bench.chaos_checks import Round, check, ended, failures
from bench.chaos_pipeline import BUCKET, ROLE, TINY, code, definition, tiny
from bench.chaos_server import Server
from bench.chaos_writers import Writers

PIPELINE = "chaos"


def rounds(home: Path, times: int, chance: random.Random) -> list[str]:
    """Every violation of that many kills."""
    server = _prepared(home)
    wrong: list[str] = []
    try:
        longest = _undisturbed(server)
        print(f"undisturbed, an execution takes {longest:.1f} s", flush=True)
        for number in range(times):
            moment = chance.uniform(0, longest)
            killed = _killed(server, moment, f"round-{number}")
            found = [f"kill {number} at {moment:.3f} s: {each}" for each in check(server, killed)]
            print(f"kill {number + 1}/{times} at {moment:.3f} s: {found or 'ok'}", flush=True)
            wrong += found
    finally:
        server.down()
    return wrong


def sabotaged(home: Path) -> list[str]:
    """The checks that did not notice what they are for."""
    server = _prepared(home)
    try:
        moment = _undisturbed(server) / 2
        return chaos_sabotage.unnoticed(server, lambda name: _killed(server, moment, name))
    finally:
        server.down()


def _prepared(home: Path) -> Server:
    server = Server(home)
    server.up()
    server.s3.create_bucket(Bucket=BUCKET)
    for key, body in code().items():
        server.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
    for name, text in ((PIPELINE, definition()), (TINY, tiny())):
        server.sagemaker.create_pipeline(PipelineName=name, RoleArn=ROLE, PipelineDefinition=text)
    return server


def _undisturbed(server: Server) -> float:
    """How long an execution takes when nobody kills, in seconds; it must succeed."""
    began = time.monotonic()
    arn = server.sagemaker.start_pipeline_execution(PipelineName=PIPELINE)["PipelineExecutionArn"]
    found = ended(server, arn)
    if found["PipelineExecutionStatus"] != "Succeeded":
        raise SystemExit(f"the chaos pipeline does not run at all: {failures(server, arn)}")
    return time.monotonic() - began


def _killed(server: Server, moment: float, name: str) -> Round:
    """Start an execution, kill the server in it, start it again."""
    arn = server.sagemaker.start_pipeline_execution(PipelineName=PIPELINE)["PipelineExecutionArn"]
    writers = Writers(server.endpoint, name)
    time.sleep(moment)
    server.kill()
    acknowledged = writers.end()
    survivors = server.survivors()
    server.up()
    return Round(arn, acknowledged, survivors, writers.surprises)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--times", type=int, default=200, help="how often to kill")
    parser.add_argument("--seed", type=int, default=None, help="for the same moments again")
    parser.add_argument("--sabotage", action="store_true", help="see every check fail")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="chaos-") as home:
        if options.sabotage:
            wrong = sabotaged(Path(home))
            print(f"{len(wrong)} kinds of damage went unnoticed", *wrong, sep="\n")
            return 1 if wrong else 0
        seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
        print(f"seed {seed}")
        wrong = rounds(Path(home), options.times, random.Random(seed))
    print(f"{options.times} kills, {len(wrong)} violations", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
