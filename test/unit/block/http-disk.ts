import { simpleBackend, type BlockBackend } from 'vexit';

/** A read-only disk whose blocks are fetched as they are read, by HTTP range requests. */
export async function httpDisk(url: string): Promise<BlockBackend> {
  const head = await fetch(url, { method: 'HEAD' });
  const size = Number(head.headers.get('content-length'));
  if (!head.ok || head.headers.get('accept-ranges') !== 'bytes') {
    throw new Error(`${url}: no ranges (${head.status})`);
  }
  return simpleBackend({
    size,
    async read(offset, buffer) {
      const range = `bytes=${offset}-${offset + buffer.length - 1}`;
      const response = await fetch(url, { headers: { range } });
      const body = Buffer.from(await response.arrayBuffer());
      if (response.status !== 206 || body.length !== buffer.length) {
        throw new Error(`${url}: ${range} gave ${body.length} bytes (${response.status})`);
      }
      body.copy(buffer);
    },
  });
}
