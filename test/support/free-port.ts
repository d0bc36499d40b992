/** A port of the loopback that nothing listens on. */
import { createServer, type AddressInfo } from 'node:net';

/** @param host an address of the loopback */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = createServer().listen(0, host);
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
