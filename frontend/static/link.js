// The WebSocket to the bridge: connects again by itself, and keeps one message until there is a connection.

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 10_000;
const OPEN_WITHIN_MS = 8_000;
const IDLE_CODE = 4000; // the bridge let us go because nothing was asked: come back when needed

export class Link {
  /** `onMessage(object)`; `onState("connecting" | "online" | "offline" | "idle")`. */
  constructor(url, onMessage, onState) {
    this.url = url;
    this.onMessage = onMessage;
    this.onState = onState;
    this.socket = null;
    this.waiting = null;
    this.wait_ms = FIRST_WAIT_MS;
    this.retry = 0;
    this.connect();
  }

  get online() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  /** Send now, or as soon as there is a connection. */
  send(message) {
    if (this.online) {
      this.socket.send(JSON.stringify(message));
      return;
    }
    this.waiting = message;
    this.wake();
  }

  /** Connect at once instead of at the next try. */
  wake() {
    if (!this.socket) this.connect();
  }

  connect() {
    clearTimeout(this.retry);
    this.onState("connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    const tooLong = setTimeout(() => socket.close(), OPEN_WITHIN_MS);
    socket.addEventListener("open", () => {
      clearTimeout(tooLong);
      this.wait_ms = FIRST_WAIT_MS;
      this.onState("online");
      if (this.waiting) this.send(this.waiting);
      this.waiting = null;
    });
    socket.addEventListener("message", (event) => this.onMessage(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => {
      clearTimeout(tooLong);
      this.closed(event.code);
    });
  }

  closed(code) {
    this.socket = null;
    this.waiting = null;
    if (code === IDLE_CODE) {
      this.onState("idle");
      return;
    }
    this.onState("offline");
    const spread = 0.5 + Math.random();
    this.retry = setTimeout(() => this.connect(), this.wait_ms * spread);
    this.wait_ms = Math.min(this.wait_ms * 2, LONGEST_WAIT_MS);
  }
}
