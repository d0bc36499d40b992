/**
 * What a socket device needs of its host: byte streams to programs there. The device and its backend
 * are in the thread that serves the queues.
 *
 * No method of a {@link StreamListener} is called from within a call of a {@link HostStream} or of
 * `VsockBackend.connect`.
 */

/** The host's end of a connection. */
export interface HostStream {
  /** The guest has accepted what a program of the host has asked for. */
  accepted(hostPort: number): void;
  /** Sends bytes, which stay as they are until {@link StreamListener.onWritten}. */
  write(bytes: Uint8Array): void;
  /** What is written between the two may go in one system call. */
  cork(): void;
  uncork(): void;
  /** Nothing more is written: the program reads its end of file behind what was. */
  end(): void;
  /** No more data is wanted for now; some that is on its way may still come. */
  pause(): void;
  /** Data is wanted. A stream begins paused. */
  resume(): void;
  /** Ends both directions at once. `onClose` follows. */
  destroy(): void;
}

/** What the device hears of a stream. */
export interface StreamListener {
  /** The stream that the device asked for is there. */
  onOpen(): void;
  /** Bytes of the program; they are the listener's from now on. */
  onData(bytes: Uint8Array): void;
  /** The program sends nothing more. */
  onEnd(): void;
  /** The writes so far that have not been reported are out of the device's memory: the first one. */
  onWritten(): void;
  /** All writes and the end are out. */
  onFinish(): void;
  /**
   * The stream is gone, and nothing else comes.
   * @param failed not because both sides had ended, or it never came to be
   */
  onClose(failed: boolean): void;
}

/** Where programs of the host connect to the guest; implemented by the device. */
export interface GuestPorts {
  /**
   * A program of the host asks for a port of the guest.
   * @returns the listener of the stream; undefined when there are too many connections
   */
  connect(guestPort: number, stream: HostStream): StreamListener | undefined;
}

/** Gives a device its host. */
export interface VsockBackend {
  /** Lets programs of the host connect. @throws VexitError when they could not */
  open(guest: GuestPorts): Promise<void>;
  /** The guest asks for a port of the host: `onOpen` or `onClose` follows. */
  connect(hostPort: number, listener: StreamListener): HostStream;
  /** Gives everything back; the device has destroyed its streams. */
  close(): Promise<void>;
}
