# shellcheck shell=bash
# What the scripts share: a Python that works, and an environment of the project's own around it.
# Sourced from the repository's root.

# PyTorch for Linux comes from PyPI with CUDA, which is several GB; its own index has it without.
cpu_index=https://download.pytorch.org/whl/cpu

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 2
}

# The comment block at the top of a script is its help.
print_help() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
}

# Runs the candidate instead of looking at its name: a pyenv shim may lead nowhere, and Debian's
# Python may come without venv.
python_works() {
    "$1" -c "import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < ($2))" \
        >/dev/null 2>&1
}

# Sets `python` to $PYTHON, or to the first of those here that the project is tried on.
find_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        python_works "$PYTHON" 4, ||
            fail "PYTHON=$PYTHON is no Python 3.11 or newer with venv and ensurepip"
        python=$PYTHON
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11; do
        if python_works "$candidate" "3, 14"; then
            python=$candidate
            return
        fi
    done
    python_works python3 4, ||
        fail "no Python 3.11 or newer with venv was found: install one (on Debian also python3-venv)," \
            "or name it: PYTHON=/path/to/python3.12 scripts/${0##*/}"
    python=python3
}

# Changes when the interpreter, the pinned versions or the package's own table do, but not when,
# say, a linter's setting in the same pyproject.toml does.
stamp_of() {
    "$python" - "$@" <<'PYTHON'
import hashlib, json, pathlib, sys, tomllib

with open("pyproject.toml", "rb") as file:
    tables = tomllib.load(file)
parts = [sys.version, sys.base_prefix, sys.argv[1:], tables["project"], tables["build-system"]]
text = json.dumps(parts) + pathlib.Path("constraints.txt").read_text(encoding="utf-8")
print(hashlib.sha256(text.encode()).hexdigest())
PYTHON
}

# make_environment FOLDER EXTRA CPU: installs the checkout with an extra, pinned, into FOLDER, unless
# it is there already. CPU is "cpu" to take PyTorch from its CPU index.
make_environment() {
    local folder=$1 extra=$2 cpu=$3 stamp quiet=()
    find_python
    stamp=$(stamp_of "$PWD" "$extra")
    if [ -x "$folder/bin/python" ] && [ "$(cat "$folder/seq2seq-stamp" 2>/dev/null)" = "$stamp" ]; then
        return
    fi
    if [ -e "$folder" ] && [ ! -e "$folder/seq2seq-stamp" ]; then
        fail "$folder is there, but not made by this script: remove it, or name another folder" \
            "by SEQ2SEQ_VENV"
    fi
    echo "Installing into $folder with $("$python" --version) (about two minutes, once) ..."
    if [ "$cpu" != cpu ] && [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null; then
        echo "No GPU was found. Where pip takes several GB of CUDA now, stop it and use" \
            "scripts/${0##*/} --cpu"
    fi
    [ -t 1 ] || quiet=(--quiet --quiet)
    SECONDS=0
    mkdir -p "$folder"
    echo incomplete >"$folder/seq2seq-stamp"
    find "$folder" -mindepth 1 ! -path "$folder/seq2seq-stamp" -delete
    "$python" -m venv "$folder"
    if [ "$cpu" = cpu ] && [ "$(uname -s)" = Linux ]; then
        pip_install "$folder" --no-deps --index-url "$cpu_index" torch
    fi
    pip_install "$folder" hatchling editables
    pip_install "$folder" --no-build-isolation --editable ".[$extra]"
    echo "$stamp" >"$folder/seq2seq-stamp"
    echo "Installed in $SECONDS s."
}

pip_install() {
    local folder=$1
    shift
    "$folder/bin/python" -m pip install --disable-pip-version-check ${quiet[@]+"${quiet[@]}"} \
        --constraint constraints.txt "$@"
}
