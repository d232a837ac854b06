# Two images from one file, so that service and workers always have the same Celeriac:
#   service   coordinator, clock, beat, flower, migrate and the command; no torch
#   worker    torch and what the examples import; no search library of its own
# Layers go from what changes rarely to what changes often: a new commit rebuilds only the last one.
#
#   docker build --target worker --build-arg TORCH_INDEX=<index of CPU builds> .     a CPU worker
FROM python:3.11-slim AS base
ENV PATH=/opt/celeriac/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
# A fixed number, so that a checkpoint directory shared between hosts can be given to it.
RUN groupadd --gid 10001 celeriac \
 && useradd --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin celeriac \
 && install -d -o celeriac -g celeriac -m 0750 /checkpoints /logs \
 && install -d /code \
 && python -m venv /opt/celeriac
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY celeriac/__init__.py celeriac/__init__.py
RUN pip install -c constraints.txt .

FROM base AS service
# `plots` brings Optuna's samplers too; `botorch` (with torch, of TORCH_INDEX as below) joins here for studies whose `sampler` it is.
ARG TORCH_INDEX=
ARG SERVICE_EXTRAS=coordinator,flower,plots,metrics,traces,web
RUN pip install -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} ".[$SERVICE_EXTRAS]"
COPY . .
RUN pip install --no-deps --force-reinstall . && rm -rf /src/*
WORKDIR /home/celeriac
USER celeriac
CMD ["celeriac", "--help"]

FROM base AS worker
# What the driver's toolkit puts into the container: CUDA for torch, NVML for finding the devices.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Empty: the build of torch that the package index offers first (on Linux the CUDA one, with CUDA's libraries in wheels). An
# index of other builds goes beside it: theirs, 2.x+cpu or 2.x+cu130, sort above the plain one and are taken.
ARG TORCH_INDEX=
RUN pip install -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch
# What objectives import. `worker` alone is the least; your own packages come in an image built on this one (docs/how-to/fleet.md).
ARG WORKER_EXTRAS=worker,examples,metrics
RUN pip install -c constraints.txt ".[$WORKER_EXTRAS]"
COPY . .
RUN pip install --no-deps --force-reinstall . && rm -rf /src/* \
 && install -d -o celeriac -g celeriac -m 0750 /scratch
# What trials write for a moment goes to disk: under compose /tmp is memory. They can write to the home, so nothing starts there.
ENV TMPDIR=/scratch
WORKDIR /
USER celeriac
CMD ["python", "-P", "-m", "worker"]
