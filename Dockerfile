# lfbt in a container; docs/install.md has the commands. Untried: the machines of its developers have no Docker.
FROM python:3.12-slim

# The builds of PyTorch to choose from: CPU by default, and with --build-arg, for instance, .../whl/cu130.
ARG TORCH=https://download.pytorch.org/whl/cpu

WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
# The local part of a version, such as +cpu, ranks above the same version of PyPI.
RUN pip install --no-cache-dir --extra-index-url "$TORCH" --constraint constraints.txt torch \
 && pip install --no-cache-dir --constraint constraints.txt '.[formats,hdf5,export,serve,parquet]'

# Compiled loops and figures' fonts are cached here by whatever user runs the container.
ENV NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib
RUN useradd --uid 1000 --create-home lfbt
USER lfbt
WORKDIR /work
ENTRYPOINT ["lfbt"]
