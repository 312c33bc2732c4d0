// The page's sound: one audio context, the microphone's pieces, and the playing queue that is the clock.

const HERE = new URL(".", import.meta.url);

/** Made by a click (browsers want one before any sound). */
export async function openAudio() {
  const context = new AudioContext({ latencyHint: "interactive" });
  await context.resume();
  await context.audioWorklet.addModule(new URL("capture-worklet.js", HERE));
  await context.audioWorklet.addModule(new URL("playback-worklet.js", HERE));
  return context;
}

/** Calls `onPiece({first, at, peak, samples})` for every 40 ms. */
export class Microphone {
  constructor(context, stream, onPiece) {
    this.context = context;
    this.stream = stream;
    this.source = context.createMediaStreamSource(stream);
    this.node = new AudioWorkletNode(context, "flashtalk-capture", { numberOfOutputs: 0 });
    this.node.port.onmessage = (event) => onPiece(event.data);
    this.source.connect(this.node);
  }

  static async open(context, onPiece) {
    const wishes = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: wishes });
    return new Microphone(context, stream, onPiece);
  }

  mute(muted) {
    this.node.port.postMessage({ muted });
  }

  close() {
    this.node.port.onmessage = null;
    this.source.disconnect();
    for (const track of this.stream.getTracks()) track.stop();
  }
}

/** The queue of sound. `now()` is the second of the page's clock that leaves the loudspeaker. */
export class SoundQueue {
  constructor(context) {
    this.context = context;
    this.state = { position: 0, at: 0, playing: false, speed: 1, buffered: 0, lead: 0, underruns: 0 };
    this.node = new AudioWorkletNode(context, "flashtalk-playback", { outputChannelCount: [1] });
    this.node.port.onmessage = (event) => { this.state = event.data; };
    this.node.connect(context.destination);
  }

  put(start, samples, rate) {
    this.node.port.postMessage({ do: "sound", start, samples, rate }, [samples.buffer]);
  }

  restart(at) {
    this.state = { ...this.state, playing: false, position: at, buffered: 0 };
    this.node.port.postMessage({ do: "restart", at });
  }

  cut(at) {
    this.node.port.postMessage({ do: "cut", at });
  }

  now() {
    const { position, at, playing, speed } = this.state;
    const since = playing ? Math.max(0, Math.min(0.2, this.context.currentTime - at)) : 0;
    return position + since * speed - this.outputDelay;
  }

  get outputDelay() {
    return this.context.outputLatency || this.context.baseLatency || 0;
  }

  close() {
    this.node.port.onmessage = null;
    this.node.disconnect();
  }
}
