// The page's sound: one audio context, what the face hears (a microphone or a sample voice), and the playing queue.

const HERE = new URL(".", import.meta.url);
const WISHES = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
const BREATH_S = 1.5;
const PATIENCE_MS = 5000;

/** Made by a click (browsers want one before any sound). Raises NoLoudspeaker. */
export async function openAudio() {
  const context = new AudioContext({ latencyHint: "interactive" });
  try {
    await wake(context);
    await context.audioWorklet.addModule(new URL("capture-worklet.js", HERE));
    await context.audioWorklet.addModule(new URL("playback-worklet.js", HERE));
  } catch (error) {
    context.close();
    throw error;
  }
  return context;
}

/** One that sleeps between conversations goes on. Without a loudspeaker Firefox waits for one, and never says so. */
export async function wake(context) {
  const silent = new Promise((_, refuse) => {
    setTimeout(() => refuse(new DOMException("no loudspeaker", "NoLoudspeaker")), PATIENCE_MS);
  });
  await Promise.race([context.resume(), silent]);
}

/** Microphones that may be chosen; their names are empty until one was allowed. */
export async function microphones() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter(({ kind, label }) => kind === "audioinput" && label);
}

/** Calls `onPiece({first, at, peak, samples})` for every 40 ms, whatever it listens to; silence if that is nothing. */
export class Ear {
  constructor(context, onPiece) {
    this.context = context;
    this.node = new AudioWorkletNode(context, "flashtalk-capture", { numberOfOutputs: 0 });
    this.node.port.onmessage = (event) => onPiece(event.data);
    this.letGo = () => {};
  }

  /** Raises what getUserMedia raises. `onLost` is called when the device is taken away. */
  async useMicrophone(device, onLost) {
    const audio = device ? { ...WISHES, deviceId: { exact: device } } : WISHES;
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    const source = this.context.createMediaStreamSource(stream);
    const [track] = stream.getAudioTracks();
    track.onended = onLost;
    this.label = track.label;
    this.use(source, () => { track.onended = null; track.stop(); });
  }

  /** A recorded voice, with pauses between its `rounds`; `begin` starts it. */
  async useSample(address, rounds, onEnd) {
    const voice = await this.context.decodeAudioData(await (await fetch(address)).arrayBuffer());
    const source = this.context.createBufferSource();
    source.buffer = withPause(voice, this.context);
    source.loop = true;
    this.begin = () => {
      this.begin = null;
      source.onended = onEnd;
      source.start();
      source.stop(this.context.currentTime + rounds * source.buffer.duration);
    };
    this.use(source, () => { source.onended = null; });
  }

  /** A microphone that is allowed only after `close` is let go at once. */
  use(source, letGo) {
    this.letGo();
    this.letGo = () => { source.disconnect(); letGo(); };
    if (this.closed) this.letGo();
    else source.connect(this.node);
  }

  mute(muted) {
    this.node.port.postMessage({ muted });
  }

  close() {
    this.closed = true;
    this.node.port.onmessage = null;
    this.node.port.postMessage({ end: true });
    this.letGo();
  }
}

/** The queue of sound. `now()` is the second of the page's clock that leaves the loudspeaker. */
export class SoundQueue {
  constructor(context) {
    this.context = context;
    this.state = { position: 0, at: 0, playing: false, margin: 0, lead: 0, underruns: 0 };
    this.node = new AudioWorkletNode(context, "flashtalk-playback", { outputChannelCount: [1] });
    this.node.port.onmessage = (event) => { this.state = event.data; };
    this.node.connect(context.destination);
  }

  put(start, samples, rate) {
    this.node.port.postMessage({ do: "sound", start, samples, rate }, [samples.buffer]);
  }

  restart(at) {
    this.state = { ...this.state, playing: false, position: at };
    this.node.port.postMessage({ do: "restart", at });
  }

  cut(at) {
    this.node.port.postMessage({ do: "cut", at });
  }

  now() {
    const { position, at, playing } = this.state;
    const since = playing ? Math.max(0, Math.min(0.2, this.context.currentTime - at)) : 0;
    return position + since - this.outputDelay;
  }

  get outputDelay() {
    return this.context.outputLatency || this.context.baseLatency || 0;
  }

  close() {
    this.node.port.onmessage = null;
    this.node.port.postMessage({ do: "end" });
    this.node.disconnect();
  }
}

function withPause(voice, context) {
  const pause = Math.round(BREATH_S * voice.sampleRate);
  const longer = context.createBuffer(1, voice.length + pause, voice.sampleRate);
  longer.copyToChannel(voice.getChannelData(0), 0);
  return longer;
}
