#!/bin/sh
# Builds what the suite runs in and prints the folder: a virtual environment with the pinned packages and the published suite,
# converted to Python 3. It lies in the user's cache, one folder per state of these scripts; when it is there, nothing is done.
#
#   XDG_CACHE_HOME   the cache          (default ~/.cache)
#   PYTHON           the interpreter    (default: the first of 3.11, 3.12, 3.13 and `python3` that can make environments)
#
# Exit status 77, and a loud word on stderr, when the packages cannot be had here.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/echoserver-autobahn
suite=25.10.1

skip() {
    {
        echo
        echo "**********************************************************************"
        echo "**  CONFORMANCE SKIPPED: no case of the Autobahn suite was run.      **"
        echo "**********************************************************************"
        echo "$1"
    } >&2
    exit 77
}

for python in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    "$python" -c 'import ensurepip, venv' 2>/dev/null && break
    python=
done
[ -n "$python" ] || skip "No Python that can make virtual environments was found."

version=$("$python" -c 'import sys; print("{}.{}".format(*sys.version_info))')
state=$(cat "$here/port.py" "$here/requirements.txt" "$here/setup.sh" | cksum | tr ' ' -)
dir=$cache/$suite-py$version-$state
if [ -d "$dir" ]; then
    echo "$dir"
    exit 0
fi

echo "preparing the conformance suite in $dir ..." >&2
mkdir -p "$cache"
new=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 1' HUP INT TERM
"$python" -m venv "$new" >&2 || skip "The virtual environment could not be made."
pip() {
    "$new/bin/python" -m pip --disable-pip-version-check "$@" >&2 || skip "The packages could not be installed (see above)."
}
pip install -q --no-deps -r "$here/requirements.txt"
pip download -q --no-deps --no-binary :all: --no-build-isolation -d "$new/sdist" "autobahntestsuite==$suite"
"$new/bin/python" -W ignore "$here/port.py" "$new/sdist/autobahntestsuite-$suite.tar.gz" >&2
"$new/bin/python" -W ignore "$here/suite.py" >&2
# Moved into place when complete: a run in progress keeps the folder it started with.
[ -d "$dir" ] || mv "$new" "$dir"
echo "$dir"
