# The app on NVIDIA GPUs:
#   docker build -t flashtalk .
#   docker run --gpus all --shm-size 2g -p 127.0.0.1:7860:7860 -v flashtalk:/data flashtalk
# Other settings go behind the name: ... flashtalk --config h200x1 --set checkpoint.source=/data/weights
FROM python:3.11-slim-bookworm

# espeak-ng speaks typed text. FFmpeg's libraries come with PyAV, CUDA's with torch.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends espeak-ng \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home flashtalk \
    && install --directory --owner flashtalk /data /app

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt
COPY --chown=flashtalk . .
RUN pip install --no-cache-dir --no-deps -e .

USER flashtalk
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_TEMP_DIR=/data/cache OMP_WAIT_POLICY=PASSIVE
VOLUME /data
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=15m \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7860/ft/public/static/icon.png', timeout=4)"]
ENTRYPOINT ["python", "app.py", "--folder", "/data/app"]
CMD ["--set", "runtime.device=cuda"]
