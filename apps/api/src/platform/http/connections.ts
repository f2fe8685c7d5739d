import type { Server } from 'node:http';
import type { Socket } from 'node:net';

const SWEEP_MS = 50;

/** The connections of a server, so that those which carry no request do not keep it from closing. */
export class Connections {
  private readonly open = new Set<Socket>();

  constructor(private readonly server: Server) {
    server.on('connection', (socket: Socket) => {
      this.open.add(socket);
      socket.once('close', () => this.open.delete(socket));
    });
  }

  /**
   * To be called when the server closes. Node closes the connections that are idle at that moment, but neither those
   * that become so later, nor those on which nothing was ever sent, as browsers open them in advance.
   */
  closeUnused(): void {
    setInterval(() => {
      this.server.closeIdleConnections();
      for (const socket of this.open) if (socket.bytesRead === 0) socket.destroy();
    }, SWEEP_MS).unref();
  }
}
