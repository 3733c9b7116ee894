#!/bin/sh
# Makes the virtual environment with all four distributions (editable) and the tools. Usage: setup.sh VENV
set -eu
venv="$1"
python="${PYTHON:-python3}"

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Joch needs Python 3.11 or newer; $("$python" --version) is too old. Try: make PYTHON=python3.12" >&2
    exit 2
}

make_venv() {
    "$python" -m venv "$venv" 2>/dev/null && [ -x "$venv/bin/pip" ]
}

if [ ! -x "$venv/bin/pip" ] && ! make_venv; then
    # Debian keeps ensurepip in a package of its own.
    rm -rf "$venv"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
        make_venv || { echo "cannot make a virtual environment with $python" >&2; exit 2; }
    else
        echo "python3 cannot make virtual environments; install it: sudo apt-get install python3-venv" >&2
        exit 2
    fi
fi

echo "installing Joch and its tools into $venv (once)"
"$venv/bin/pip" install --quiet --disable-pip-version-check --upgrade "pip>=24"
"$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements-dev.txt -c constraints.txt
