#!/bin/sh
# The wheels that `run.sh` takes along, for Python 3.12 on x86-64 Linux, into tests/gpu/wheels: what a machine with torch,
# transformers, accelerate, numpy, scipy, safetensors, networkx, rich, pillow, fsspec, hypothesis and pytest lacks.
# Versions are those of constraints.txt. PYTHON_VERSION and PLATFORMS say for which machine.
set -eu
cd "$(dirname "$0")/../.."
folder=tests/gpu/wheels
python=${PYTHON:-python3}
version=${PYTHON_VERSION:-3.12}
platforms=""
for glibc in ${PLATFORMS:-manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux_2_12 manylinux_2_5 manylinux2014 manylinux1}; do
  platforms="$platforms --platform ${glibc}_x86_64"
done
constrained=$(grep -E '^(diffusers|orjson|pydantic|blake3|platformdirs|watchfiles|torchsde|typer|jsonschema|gguf)==' constraints.txt)
others="pydantic-core==2.50.4 annotated-types==0.8.0 typing-inspection==0.4.5 importlib-metadata==10.2.0 trampoline==0.1.2
annotated-doc==0.0.7 jsonschema-specifications==2025.9.1 referencing==0.37.0 rpds-py==2026.9.1"
mkdir -p "$folder"
for one in $constrained $others; do
  "$python" -m pip download -q --no-deps --only-binary=:all: --python-version "$version" --implementation cp $platforms \
    -d "$folder" "$one"
done
du -sh "$folder"
