# syntax=docker/dockerfile:1
# docker build --build-arg TORCH=torch==2.13.0 -t handful .
# docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/work" handful train photos
#
# TORCH is what pip installs first. The default is the build of your package index: the CUDA build, on Linux. For the CPU
# build give pip the index that PyTorch's install page names, as TORCH="torch==2.13.0 --index-url ADDRESS".
ARG PYTHON=3.11
FROM python:${PYTHON}-slim

ARG TORCH=torch==2.13.0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

# TORCH names a version and may have further arguments, so it is not quoted.
# hadolint ignore=DL3013,SC2086
RUN python -m pip install ${TORCH}

# A compiler of C++ lets long runs on a CPU compile their networks.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++=4:* \
    && rm -rf /var/lib/apt/lists/*

COPY constraints.txt pyproject.toml README.md LICENSE THIRD_PARTY_NOTICES.md /source/
COPY src /source/src
RUN python -m pip install --constraint /source/constraints.txt "/source[export,heic,hub,video]" && rm -rf /source

# Whoever runs it may write here: runs belong to the user that docker's --user names.
WORKDIR /work
ENV HOME=/tmp HANDFUL_CACHE=/tmp/handful
USER 1000
ENTRYPOINT ["handful"]
CMD ["--help"]
