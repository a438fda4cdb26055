"""No verb asks the network for anything, or touches files besides those that it was given."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny import write_recipe

VERBS = {
    "prepare": "prepare tiny.toml -o data",
    "train": "train tiny.toml --data data -o run --threads 1 --set training.updates=3 "
    "--set model.decoder.attention=general",
    "translate": "translate run val.en -o out.de",
    "in processes": "translate run val.en -o out.de --processes 2",
    "by torch": "translate run val.en -o out.de --engine torch",
    "evaluate": "evaluate run val.en val.de",
    "score": "score out.de val.de",
    "export": "export run -o model --shortlist data",
    "the exported model": "translate model val.en -o out.de --shortlist",
    "report": "report run -o page.html --data data",
    "inspect": "inspect attention run val.en -o pictures",
    "recipe": "recipe check tiny.toml",
}
"""Each may use what those before it wrote."""

WRITES = re.compile(r'\b(?:openat|open|creat|mkdir|mkdirat|unlink|unlinkat|rename)\(.*?"([^"]*)"')
SOCKETS = re.compile(r"\bsocket\((?!AF_UNIX|AF_LOCAL)")
ALLOWED = "/dev/", "/proc/"


def strace_works() -> bool:
    if shutil.which("strace") is None:
        return False
    done = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not strace_works(), reason="needs strace")
@pytest.mark.timeout(900)
def test_no_verb_reaches_out(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    for folder in (home, work, work / "tmp"):
        folder.mkdir()
    write_recipe(work, count=150)
    keep = {"PATH", "PYTHONPATH", "LANG", "OMP_NUM_THREADS"}
    environment = {key: value for key, value in os.environ.items() if key in keep}
    environment |= {"HOME": str(home), "TMPDIR": str(work / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    for verb, arguments in VERBS.items():
        log = tmp_path / "log"
        traced = "socket,openat,open,creat,mkdir,mkdirat,unlink,unlinkat,rename"
        command = ["strace", "-f", "-qq", "-e", f"trace={traced}", "-o", str(log), sys.executable]
        done = subprocess.run(
            [*command, "-m", "seq2seq", *arguments.split()],
            cwd=work,
            env=environment,
            input=(work / "val.en").read_bytes(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (verb, done.stderr)
        lines = log.read_text("utf-8", "replace").splitlines()
        assert len(lines) > 100, verb
        assert [line for line in lines if SOCKETS.search(line)] == [], verb
        changes = [
            line
            for line in lines
            if (found := WRITES.search(line))
            and ("open" not in found[0] or re.search(r"O_(WRONLY|RDWR|CREAT)", line))
            and "ENOENT" not in line
        ]
        places = {WRITES.search(line)[1] for line in changes}  # type: ignore[index]
        outside = [
            place
            for place in places
            if place.startswith("/") and not place.startswith((str(work), *ALLOWED))
        ]
        assert outside == [], verb
        assert list(home.rglob("*")) == [], verb
        assert list((work / "tmp").iterdir()) == [], verb
