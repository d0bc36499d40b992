/** Opening the host's end of a published port, and what is said when that cannot be. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { VexitError, errorMessage, systemCode } from '../../util/errors.js';
import type { Publication } from '../options.js';
import { hostAndPort } from '../wire/address.js';

/** As people write it: `127.0.0.1:8080/tcp`. */
export function describePort({ hostAddress, hostPort, protocol }: Publication): string {
  return `${hostAndPort(hostAddress, hostPort)}/${protocol}`;
}

function publishError(publication: Publication, error: Error): VexitError {
  const place = describePort(publication);
  switch (systemCode(error)) {
    case 'EADDRINUSE':
      return new VexitError(
        'ERR_CONFIG',
        `port ${place} of the host is taken`,
        'publish another port of the host, or stop the program that has it',
      );
    case 'EACCES':
      return new VexitError(
        'ERR_CONFIG',
        `no permission to listen on ${place} of the host`,
        'ports below 1024 are for root: publish one above',
      );
    case 'EADDRNOTAVAIL':
      return new VexitError(
        'ERR_CONFIG',
        `the host does not have the address of ${place}`,
        'leave the address out to listen on 127.0.0.1',
      );
    default:
      return new VexitError(
        'ERR_CONFIG',
        `cannot listen on ${place} of the host: ${errorMessage(error)}`,
      );
  }
}

/**
 * Has a server listen; resolves with the port, which the host chooses for 0.
 * @throws VexitError ERR_CONFIG when the port is taken or not permitted
 */
export function listen(server: Server, publication: Publication): Promise<number> {
  const { hostAddress: host, hostPort: port } = publication;
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(publishError(publication, error)));
    server.listen({ host, port }, () => {
      server.removeAllListeners('error');
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/**
 * Has a socket listen; see {@link listen}.
 * @throws VexitError ERR_CONFIG when the port is taken or not permitted
 */
export function bind(socket: UdpSocket, publication: Publication): Promise<number> {
  const { hostAddress, hostPort } = publication;
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => reject(publishError(publication, error)));
    socket.bind(hostPort, hostAddress, () => {
      socket.removeAllListeners('error');
      resolve(socket.address().port);
    });
  });
}

/** A socket for the family of a publication's address. */
export function socketFor({ hostAddress }: Publication): UdpSocket {
  return createSocket(hostAddress.includes(':') ? 'udp6' : 'udp4');
}

/**
 * Tries whether a port can be published, so that people hear of it before a VM starts.
 * @throws VexitError ERR_CONFIG when it is taken or not permitted
 */
export async function tryPort(publication: Publication): Promise<void> {
  if (publication.hostPort === 0) return;
  if (publication.protocol === 'tcp') {
    const server = createServer();
    await listen(server, publication);
    await new Promise((resolve) => server.close(resolve));
  } else {
    const socket = socketFor(publication);
    try {
      await bind(socket, publication);
    } finally {
      socket.close();
    }
  }
}
