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
    "gradients": "inspect gradients run val.en val.de -o gradients.html",
    "gates": "inspect gates run val.en -o gates.svg",
    "states": "inspect states run val.en -o states.png",
    "recipe": "recipe check tiny.toml",
}
"""Each may use what those before it wrote."""

WRITES = re.compile(r'\b(?:openat|open|creat|mkdir|mkdirat|unlink|unlinkat|rename)\(.*?"([^"]*)"')
SOCKETS = re.compile(r"\bsocket\((?!AF_UNIX|AF_LOCAL)")
ALLOWED = "/dev/", "/proc/"
STRACE = "strace", "-f", "--seccomp-bpf"  # which stops at the calls that are traced alone


def strace_works() -> bool:
    if shutil.which("strace") is None:
        return False
    done = subprocess.run([*STRACE, "-o", "/dev/null", "true"], capture_output=True, check=False)
    return done.returncode == 0


PROGRAM = """
import sys

from seq2seq.cli.app import main

for line in sys.argv[1:]:
    sys.argv = ["seq2seq", *line.split()]
    try:
        main()
    except SystemExit as end:
        if end.code:
            sys.exit(f"{line}: {end.code}")
"""
"""Runs command lines one after the other: under strace each start would take seconds."""


@pytest.mark.skipif(not strace_works(), reason="needs strace")
@pytest.mark.timeout(900)
def test_no_verb_reaches_out(tmp_path: Path) -> None:
    home, work, log = tmp_path / "home", tmp_path / "work", tmp_path / "log"
    for folder in (home, work, work / "tmp"):
        folder.mkdir()
    write_recipe(work, count=150)
    keep = {"PATH", "PYTHONPATH", "LANG", "OMP_NUM_THREADS"}
    environment = {key: value for key, value in os.environ.items() if key in keep}
    environment |= {"HOME": str(home), "TMPDIR": str(work / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
    traced = "socket,openat,open,creat,mkdir,mkdirat,unlink,unlinkat,rename"
    command = [*STRACE, "-qq", "-e", f"trace={traced}", "-o", str(log), sys.executable]
    done = subprocess.run(
        [*command, "-c", PROGRAM, *VERBS.values()],
        cwd=work,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = log.read_text("utf-8", "replace").splitlines()
    assert len(lines) > 100 * len(VERBS)
    changes = [
        line
        for line in lines
        if (found := WRITES.search(line))
        and ("open" not in found[0] or re.search(r"O_(WRONLY|RDWR|CREAT)", line))
        and "ENOENT" not in line
    ]
    places = {WRITES.search(line)[1] for line in changes}  # type: ignore[index]
    for name in ("run/card.json", "out.de", "model/shortlist.safetensors", "page.html", "pictures"):
        assert (work / name).exists(), name
    assert [line for line in lines if SOCKETS.search(line)] == []
    inside = str(work), *ALLOWED
    assert [one for one in places if one.startswith("/") and not one.startswith(inside)] == []
    assert list(home.rglob("*")) == []
    assert list((work / "tmp").iterdir()) == []
