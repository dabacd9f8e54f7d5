#!/bin/sh
# Everything that only a GPU shows, in parts of at most nine minutes, 25 in all, without a network:
#
#     sh tests/gpu/carry.sh                      where there is a network: what a machine with torch alone lacks, as wheels
#     sh tests/gpu/run.sh                        all parts
#     sh tests/gpu/run.sh pictures speed         some of them; `tests/gpu/plan.py` says what is in each
#     sh tests/gpu/run.sh --tiny --device cpu    to try it out without a GPU, with small networks
#     sh tests/gpu/run.sh --tiny --pretended
#
# Rows go to tests/gpu/results/CARD.jsonl as they are made, and to $OUT, where that is a folder; a run that was cut goes
# on after the last row. The table is in CARD.md. It needs Python 3.11 with torch 2.11 or later, transformers, accelerate
# and pytest; Weft itself is taken from this checkout. PYTHON names the interpreter.
set -eu
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
site=${TMPDIR:-/tmp}/weft-gpu-site
mkdir -p "$site"
if ls tests/gpu/wheels/*.whl >/dev/null 2>&1; then
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target "$site" tests/gpu/wheels/*.whl
fi
PYTHONPATH=$("$python" tests/gpu/link.py "$site"):$PWD${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH PYTHONUNBUFFERED=1
exec "$python" -m tests.gpu.plan "$@"
