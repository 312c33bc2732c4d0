# The app on NVIDIA GPUs:
#   docker build -t flashtalk .
#   docker run --gpus all --shm-size 2g -p 127.0.0.1:7860:7860 -v flashtalk:/data flashtalk
# Other settings go behind the name: ... flashtalk --config h200x1 --set checkpoint.source=/data/weights
# The device is cuda, whatever a config says; another one: --set runtime.device=cpu behind the name.
# Whoever reaches the port may come in: publish it to others only with --auth NAME:PASSWORD behind the name, too.
# Behind a proxy: -e FORWARDED_ALLOW_IPS=its address or network (172.16.0.0/12), else all visitors count as one; and, without
# a password, --allow-host with the name that visitors know. The proxy writes X-Forwarded-For and, if it changes Host, -Host.
FROM python:3.11-slim-bookworm

# espeak-ng speaks typed text; gcc is what torch.compile builds its kernels' launchers with. FFmpeg's libraries come
# with PyAV, CUDA's with torch.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends espeak-ng gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home flashtalk \
    && install --directory --owner flashtalk /data /app

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=flashtalk . .
RUN pip install --no-cache-dir --no-deps -e .

USER flashtalk
ENV GRADIO_SERVER_NAME=0.0.0.0 OMP_WAIT_POLICY=PASSIVE
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=15m \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/live', timeout=4)"]
ENTRYPOINT ["python", "app.py", "--folder", "/data/app", "--set", "runtime.device=cuda"]
